// apps/flash/devices.h -- `flash devices`: what was found to compute on
#pragma once

namespace flash::apps {

int show_devices();

}  // namespace flash::apps
