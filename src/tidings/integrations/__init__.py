"""Floor 8. What brings events in from elsewhere, or takes them there: one file for each library or source.

    from tidings.integrations.files import FilesIn

    app.include(FilesIn("inbox/", glob="*.csv", existing=True, settled=0.5))

Nothing is imported here: each file asks for its extra when it is used.
"""
