#include "services/archive/domain/hold_window.h"

#include "common/clock/proto_time.h"
#include "yagura/archive/v1/legal_hold.pb.h"

namespace yagura::archive {

TimeWindow WindowOf(const v1::LegalHold& hold) {
  return {FromProto(hold.start_time()),
          hold.has_end_time() ? FromProto(hold.end_time()) : TimePoint::max()};
}

}  // namespace yagura::archive
