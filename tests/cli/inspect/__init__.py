"""Tests of ``txtransport inspect``."""
