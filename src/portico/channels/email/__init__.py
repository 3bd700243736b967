"""E-mail: a mailbox by IMAP, answers by SMTP."""
