"""Message passing and gathers on codes, against what others do on a table."""
