"""Tests that start several processes."""

from tests.launch import Launch as Launch
