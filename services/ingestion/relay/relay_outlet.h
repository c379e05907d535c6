#pragma once

#include <memory>

#include "services/ingestion/workers/line_outlet.h"

namespace yagura {
class Counter;
}

namespace yagura::ingestion {

class RelaySpool;

// Lines of one listener's thread as they are, with who sent them and when, in batches to the spool
// of a relay. `lines`: counts them.
std::unique_ptr<LineOutlet> MakeRelayOutlet(std::shared_ptr<RelaySpool> spool,
                                            std::shared_ptr<const Clock> clock, Counter* lines);

}  // namespace yagura::ingestion
