#include "common/rpc/revocations.h"

#include <string>
#include <utility>

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::rpc {
namespace {

// Members are principals, scores microseconds since 1970, which a double holds exactly.
constexpr std::string_view kKey = "y:{provider}:auth:revoked";
constexpr std::chrono::hours kKeep{2};

}  // namespace

absl::Status RecordRevocation(redis::Pool& state, std::string_view principal, TimePoint before) {
  using std::chrono::microseconds;
  const auto time = std::chrono::ceil<microseconds>(before).time_since_epoch();
  const std::string score = std::to_string(time.count());
  const std::string forgotten = std::to_string((time - microseconds(kKeep)).count());
  const std::vector<redis::Args> commands = {{"ZADD", kKey, "GT", score, principal},
                                             {"ZREMRANGEBYSCORE", kKey, "-inf", forgotten}};
  for (const auto& reply : state.Pipeline(commands)) YAGURA_RETURN_IF_ERROR(reply.status());
  return absl::OkStatus();
}

RevocationFollower::RevocationFollower(std::shared_ptr<redis::Pool> state,
                                       std::shared_ptr<auth::TokenVerifier> verifier, Logger logger,
                                       std::chrono::milliseconds interval)
    : state_(std::move(state)),
      verifier_(std::move(verifier)),
      logger_(std::move(logger)),
      interval_(interval),
      thread_([this] { Run(); }) {}

RevocationFollower::~RevocationFollower() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

absl::Status RevocationFollower::Read() {
  YAGURA_ASSIGN_OR_RETURN(const auto reply,
                          state_->Command({"ZRANGE", kKey, "0", "-1", "WITHSCORES"}));
  for (size_t i = 0; i + 1 < reply.items.size(); i += 2) {
    const auto score = ParseNumber<double>(reply.items[i + 1].text);
    if (!score) continue;
    const std::chrono::microseconds time(static_cast<int64_t>(*score));
    verifier_->Revoke(reply.items[i].text, TimePoint(time));
  }
  return absl::OkStatus();
}

void RevocationFollower::Run() {
  bool well = true;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const absl::Status status = Read();
    if (!status.ok() && well) {
      logger_.Warning("revoked tokens could not be read", {{"reason", Message(status)}});
    }
    well = status.ok();
    lock.lock();
    wake_.wait_for(lock, interval_, [this] { return stopping_; });
  }
}

}  // namespace yagura::rpc
