"""Notifications in browsers: Web Push.

Not here: Apple's and Google's own push for apps, which needs a relay with their credentials.
"""
