#pragma once

#include "yagura/event/v1/event.pb.h"

namespace yagura::detection {

// What became of an attempt, as far as the device's action tells.
enum class AttemptFate { kPassed, kUndecided, kBlocked };
AttemptFate FateOf(event::v1::Action action);

}  // namespace yagura::detection
