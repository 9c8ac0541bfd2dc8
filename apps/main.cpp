// apps/main.cpp -- the flash command's entry
#include "apps/flash/command.h"

int main(int argc, char** argv) { return flash::apps::run_command(argc, argv); }
