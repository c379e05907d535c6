#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "services/detection/domain/rule_reach.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::rpc {
class Call;
}

namespace yagura::detection {

// What one asks of the stored events of a tenant to know what it sends. Thread-safe.
class LogLook {
 public:
  struct Range {
    TimePoint start;  // of receipt
    TimePoint end;
  };
  struct Shapes {
    std::vector<EventShape> shapes;
    bool complete = true;  // these are all
    uint64_t total = 0;
  };
  virtual ~LogLook() = default;

  // All in the call's tenant and name.
  virtual absl::StatusOr<Shapes> ShapesOf(const rpc::Call& call, const Range& range) = 0;
  virtual absl::StatusOr<uint64_t> Count(const rpc::Call& call, const Range& range,
                                         const std::string& filter) = 0;
  // The latest, at most `most`.
  virtual absl::StatusOr<std::vector<event::v1::Event>> Sample(const rpc::Call& call,
                                                               const Range& range,
                                                               const std::string& filter,
                                                               int most) = 0;
  // Which of at most 10 paths ("src.ip", "fields.Image") have a value in any event.
  virtual absl::StatusOr<std::set<std::string>> Present(const rpc::Call& call, const Range& range,
                                                        const std::string& filter,
                                                        const std::vector<std::string>& paths) = 0;
};

}  // namespace yagura::detection
