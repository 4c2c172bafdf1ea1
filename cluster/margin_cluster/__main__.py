"""Entry point of `python -m margin_cluster` and of the `margin` command."""

import sys


def main() -> None:
    """Run the command line, or report which package is missing and exit with code 2."""
    try:
        from margin_cluster.cli import app
    except KeyboardInterrupt:
        sys.stderr.write("margin: interrupted\n")
        raise SystemExit(130) from None
    except ModuleNotFoundError as missing:
        if missing.name and missing.name.startswith("margin_"):
            raise
        sys.stderr.write(
            f"margin: the package {missing.name!r} is missing; the command line needs the whole "
            "engine:\n\n    pip install 'margin-cluster[cluster]'\n"
        )
        raise SystemExit(2) from None
    app()


if __name__ == "__main__":
    main()
