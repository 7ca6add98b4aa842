"""What both ends of the control connection share."""
