#include "services/detection/domain/fate.h"

namespace yagura::detection {

AttemptFate FateOf(event::v1::Action action) {
  switch (action) {
    case event::v1::ALLOWED:
    case event::v1::DETECTED:
    case event::v1::STARTED:
    case event::v1::ENDED:
    case event::v1::LOGON:
      return AttemptFate::kPassed;
    case event::v1::BLOCKED:
    case event::v1::LOGON_FAILED:
      return AttemptFate::kBlocked;
    default:
      return AttemptFate::kUndecided;
  }
}

}  // namespace yagura::detection
