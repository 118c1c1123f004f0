"""Backups of a whole installation: the database and the files of attachments, in one archive.

The data of the tables are copied by PostgreSQL's COPY, and the schema is made by the migrations. So neither `pg_dump`
nor its version matters, and a backup can be restored into a newer PostgreSQL and by a newer Allweather.
"""
