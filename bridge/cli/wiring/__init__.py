"""Make the parts of commands from the settings. They meet nowhere else, and a command imports only those it uses."""
