// Subcommands only.
int main() { return 0; }
