# One image for every process of the Procfile; the command chooses which. Settings come from the environment.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS packages
RUN python -m venv /opt/venv
COPY requirements.txt .
# Wheels only: an image that cannot compile cannot differ from one machine to the next.
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary :all: --requirement requirements.txt

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin allweather
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
COPY celeryconfig.py ./
COPY migrations ./migrations
COPY core ./core
COPY worker ./worker
COPY api ./api
# A volume that is mounted here takes over whose it is.
RUN install --directory --owner allweather --group allweather --mode 700 /var/lib/allweather/attachments
ENV ATTACHMENT_DIR=/var/lib/allweather/attachments
# The files stay root's: what runs here may read the code, not change it.
USER allweather
EXPOSE 8000
# It speaks for the default command; another command brings its own check, or none.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=4)"]
CMD ["python", "-m", "api"]
