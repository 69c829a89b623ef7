"""What the test flows are deployed with: the real ``metaflow`` command, and stand-ins for what it talks to."""
