"""Strict decoding and the one preprocessing."""
