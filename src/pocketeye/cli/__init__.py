"""Run the command line: ``pocketeye VERB``. It parses, calls one verb and prints; no logic."""

from pocketeye.cli.app import main as main
