#pragma once

#include <memory>
#include <utility>

#include "services/detection/workers/hunt_archive.h"

namespace yagura::rpc {
class Channels;
}

namespace yagura::detection {

// Asks the archive service in the one tenant's name.
class HuntArchiveClient final : public HuntArchive {
 public:
  explicit HuntArchiveClient(std::shared_ptr<rpc::Channels> channels)
      : channels_(std::move(channels)) {}

  absl::Status Read(const Question& question, const Visit& visit) override;
  absl::StatusOr<Logs> Describe(const std::string& tenant, TimePoint start, TimePoint end) override;

 private:
  const std::shared_ptr<rpc::Channels> channels_;
};

}  // namespace yagura::detection
