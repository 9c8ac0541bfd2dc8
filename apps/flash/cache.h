// apps/flash/cache.h -- `flash cache`: compiled kernels on disk, shown and deleted
#pragma once

namespace flash::apps {

/// Return the exit status; throw flash::Error.
int show_cache();
int clear_cache();

}  // namespace flash::apps
