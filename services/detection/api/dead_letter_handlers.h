#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "services/detection/storage/dead_letters.h"
#include "yagura/detection/v1/detection_service.pb.h"

namespace yagura::rpc {
class Call;
class ServiceRegistry;
}  // namespace yagura::rpc

namespace yagura::detection {

// ListDeadLetters, GetDeadLetter and DeleteDeadLetter of what is in the flow Redis. Whose a letter
// is its payload alone tells; what tells no tenant of `state` is the provider's. Thread-safe.
class DeadLetterHandlers {
 public:
  DeadLetterHandlers(std::shared_ptr<redis::Pool> flow, std::shared_ptr<redis::Pool> state,
                     std::vector<stream::Topic> topics);
  void Register(rpc::ServiceRegistry& registry);

  absl::StatusOr<v1::ListDeadLettersResponse> List(const rpc::Call& call,
                                                   const v1::ListDeadLettersRequest& request) const;
  absl::StatusOr<v1::DeadLetter> Get(const rpc::Call& call,
                                     const v1::GetDeadLetterRequest& request) const;
  absl::StatusOr<v1::DeleteDeadLetterResponse> Delete(
      const rpc::Call& call, const v1::DeleteDeadLetterRequest& request) const;

 private:
  struct Place {
    const stream::Topic* topic;
    int shard;
    stream::EntryId id;
  };
  absl::StatusOr<Place> Find(const std::string& name, DeadLetter* letter) const;

  const DeadLetters letters_;
  const std::shared_ptr<redis::Pool> state_;
  const std::vector<stream::Topic> topics_;
};

}  // namespace yagura::detection
