#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/redis/script.h"
#include "yagura/detection/v1/hunt.pb.h"

namespace yagura::redis {
class Pool;
}

namespace yagura::detection {

// How far a hunt is over all of its tenants, added up as each of them tells of itself, so that
// nobody reads all results for it: y:{<tenant>}:detection:hunt-progress:<hunt> in the state Redis,
// a hash beside the hunt. It follows from the results and is forgotten a week after the last word.
// Thread-safe.
class HuntProgress {
 public:
  // Where the hunt stands in one tenant.
  struct Part {
    std::string tenant;
    v1::HuntState state = v1::QUEUED;
    double progress = 0;  // 0 to 1
  };
  struct Sum {
    double progress = 0;  // added up: 1 for each tenant that is over
    uint32_t over = 0;    // tenants
    uint32_t failed = 0;  // of those
    bool whole = false;   // all tenants have been told of that had begun
  };
  explicit HuntProgress(std::shared_ptr<redis::Pool> state);

  // The last word about a tenant counts, unless it is over there already.
  absl::StatusOr<Sum> Tell(const std::string& hunt, const Part& part) const;
  // What is not `whole`: of tenants that nothing was told of. Makes it whole where `last`.
  absl::StatusOr<Sum> Fill(const std::string& hunt, const std::vector<Part>& parts,
                           bool last) const;
  absl::Status Forget(const std::string& hunt) const;

 private:
  absl::StatusOr<Sum> Run(const std::string& hunt, const char* mode,
                          const std::vector<Part>& parts) const;

  const std::shared_ptr<redis::Pool> state_;
  const redis::Script tell_;
};

}  // namespace yagura::detection
