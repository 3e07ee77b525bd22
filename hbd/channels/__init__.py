"""Notification channels: what can carry a message to people. One file a type; ``registry`` lists them.

A channel knows nothing of who is told what and when, nor of trying again: it sends one message, or says why it cannot.
"""
