#pragma once

#include <memory>
#include <string>

#include "common/auth/principal.h"
#include "common/stream/topic.h"
#include "services/archive/domain/time_window.h"
#include "services/archive/storage/pending_batches.h"
#include "yagura/archive/v1/coverage.pb.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::archive {

class Spool;

// What was received and is not in the event store yet: batches in the streams that the archive has
// not committed, and ranges in this process's own spool. Thread-safe.
class UnstoredEvents {
 public:
  // `reader` is as whom the archive reads the topic; `spool` must outlive the object.
  UnstoredEvents(std::shared_ptr<redis::Pool> flow, stream::Topic topic, std::string reader,
                 const Spool& spool, const PendingBatches::Limits& limits = {});

  // What of it the window may have; ask before the events are looked for, so that nothing is
  // neither found nor told. Whose the spool's ranges are and what lies beyond the limits is not
  // looked at: it may be anybody's (`more`). Where Redis does not answer, `unknown`.
  v1::PendingEvents Of(const auth::TenantSet& tenants, const TimeWindow& window) const;

 private:
  const std::unique_ptr<PendingBatches> batches_;
  const Spool& spool_;
};

// In words, for CoverageSummary.gaps; empty where nothing waits.
std::string PendingText(const v1::PendingEvents& pending);

}  // namespace yagura::archive
