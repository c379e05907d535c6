#include "services/archive/storage/plan_store.h"

#include <utility>

#include "fmt/format.h"

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/stream/scripts.h"

namespace yagura::archive {
namespace {

// KEYS lease, plan; ARGV holder, epoch, plan.
constexpr std::string_view kSave = R"lua(#!lua flags=allow-oom
local held = redis.call('HMGET', KEYS[1], 'holder', 'epoch')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
  return redis.error_reply('YAGURA_LEASE_LOST the shard has another holder')
end
redis.call('SET', KEYS[2], ARGV[3])
return 1
)lua";

}  // namespace

PlanStore::PlanStore(std::shared_ptr<redis::Pool> flow, stream::Topic topic, std::string reader)
    : flow_(std::move(flow)), topic_(std::move(topic)), reader_(std::move(reader)), save_(kSave) {}

std::string PlanStore::PlanKey(int shard) const {
  return fmt::format("y:{{s{}}}:archive:plan:{}", shard, topic_.name);
}

Status PlanStore::Save(int shard, const Lease& lease,
                       const internal::v1::PlannedRange& plan) const {
  YAGURA_ASSIGN_OR_RETURN(auto connection, flow_->Acquire());
  const std::string lease_key = stream::LeaseKey(topic_.name, shard, reader_);
  const std::string plan_key = PlanKey(shard);
  const std::string epoch = std::to_string(lease.epoch);
  const std::string bytes = plan.SerializeAsString();
  return stream::FromScript(
      save_.Run(*connection, {lease_key, plan_key}, {lease.holder, epoch, bytes}).status());
}

StatusOr<std::optional<internal::v1::PlannedRange>> PlanStore::Load(int shard) const {
  const std::string key = PlanKey(shard);
  YAGURA_ASSIGN_OR_RETURN(const redis::Reply reply, flow_->Command({"GET", key}));
  if (reply.is_nil()) return std::optional<internal::v1::PlannedRange>();
  internal::v1::PlannedRange plan;
  if (!plan.ParseFromString(reply.text)) {
    return Internal(fmt::format("the planned range of shard {} is broken", shard));
  }
  return std::optional(std::move(plan));
}

}  // namespace yagura::archive
