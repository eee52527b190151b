"""`python -m tidings` is the same command as `tidings`."""

if __name__ == "__main__":
    from tidings.cli import main  # here and not above: reading this module must not need the `cli` extra

    main()
