"""What the scenarios are made of: a scripted origin, a private daemon, a strict client, a clock."""
