#pragma once

#include <string_view>

#include "services/config/transport/device_session.h"
#include "yagura/config/v1/change.pb.h"

namespace yagura::config {

// Tests one expectation. `running` is the device's running configuration. Never fails itself: what
// cannot be tested has not passed.
v1::CheckResult RunCheck(const v1::Check& check, std::string_view running, DeviceSession& session,
                         const Patience& patience);

}  // namespace yagura::config
