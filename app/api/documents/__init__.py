"""The documents with which the API answers: a pydantic model for each resource, built from table rows by `of`.

`whole` has each by its name. It loads all modules, so a command that needs the documents of one imports that module.
"""
