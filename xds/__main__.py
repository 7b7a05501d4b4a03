"""`xds`, and `python -m xds` where the console script is not on the path."""

try:
    from xds.cli import main
except KeyboardInterrupt:  # importing takes most of a second
    raise SystemExit(130) from None

if __name__ == "__main__":
    main()
