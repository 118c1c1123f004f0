# One image for all processes of the Procfile; the command selects the process. Settings come from the environment.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS packages
RUN python -m venv /opt/venv
COPY requirements.txt .
# Only wheels are installed, so that the image does not depend on a compiler and is the same on every machine.
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary :all: --requirement requirements.txt

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin allweather
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
COPY celeryconfig.py ./
COPY pyproject.toml ./
COPY migrations ./migrations
COPY core ./core
COPY worker ./worker
COPY api ./api
# This installs only the command `allweather`, which runs the code of this directory.
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --editable .
# A new volume that is mounted here gets the owner and the mode of this directory.
RUN install --directory --owner allweather --group allweather --mode 700 /var/lib/allweather/attachments
ENV ATTACHMENT_DIR=/var/lib/allweather/attachments
# The files belong to root, so that the processes can read the code but not change it.
USER allweather
EXPOSE 8000
# This check is for the default command; docker-compose.yml sets others, or none, for the other commands.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=4)"]
CMD ["python", "-m", "api"]
