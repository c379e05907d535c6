#pragma once

#include <memory>
#include <utility>

#include "services/detection/workers/log_look.h"

namespace yagura::rpc {
class Channels;
}

namespace yagura::detection {

// Asks the archive service with the rights of the call.
class LogLookClient final : public LogLook {
 public:
  explicit LogLookClient(std::shared_ptr<rpc::Channels> channels)
      : channels_(std::move(channels)) {}

  absl::StatusOr<Shapes> ShapesOf(const rpc::Call& call, const Range& range) override;
  absl::StatusOr<uint64_t> Count(const rpc::Call& call, const Range& range,
                                 const std::string& filter) override;
  absl::StatusOr<std::vector<event::v1::Event>> Sample(const rpc::Call& call, const Range& range,
                                                       const std::string& filter,
                                                       int most) override;
  absl::StatusOr<std::set<std::string>> Present(const rpc::Call& call, const Range& range,
                                                const std::string& filter,
                                                const std::vector<std::string>& paths) override;

 private:
  const std::shared_ptr<rpc::Channels> channels_;
};

}  // namespace yagura::detection
