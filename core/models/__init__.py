"""The peewee models, one for each table and one module for each aggregate, with their named queries."""
