// apps/flash/devices.h -- `flash devices`: what was found to compute on; and --device
#pragma once

#include <flash/flash.h>

#include <string>

namespace flash::apps {

int show_devices();

/// Makes the device of that name the default, and returns it; empty: the default of before. Throws
/// DeviceError for one that is not here or computes nothing.
Device use_device(const std::string& name);

}  // namespace flash::apps
