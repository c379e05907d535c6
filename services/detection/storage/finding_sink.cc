#include "services/detection/storage/finding_sink.h"

#include <map>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "services/detection/domain/findings.h"

namespace yagura::detection {
namespace {

store::WriteContext Context() {
  return {.principal = "services/detection",
          .on_behalf_of = "",
          .method = "detection/windows",
          .request_id = "",
          .request_digest = "",
          .detail = ""};
}

}  // namespace

FindingSink::FindingSink(store::Store<v1::Finding> findings,
                         std::shared_ptr<stream::Producer> topic)
    : findings_(std::move(findings)), topic_(std::move(topic)) {}

absl::Status FindingSink::Put(const std::vector<Windows::Outcome>& outcomes) {
  std::vector<Windows::Outcome> merged;
  std::map<std::string, size_t> places;
  for (const auto& outcome : outcomes) {
    const auto [place, is_new] = places.try_emplace(outcome.finding.name(), merged.size());
    if (is_new) {
      merged.push_back(outcome);
      continue;
    }
    MergeFinding(outcome.finding, merged[place->second].finding);
    merged[place->second].began = merged[place->second].began || outcome.began;
  }
  for (const auto& outcome : merged) {
    YAGURA_ASSIGN_OR_RETURN(const v1::Finding kept, Keep(outcome.finding));
    if (!outcome.began) continue;
    const std::string id(store::LastId(kept.name()));
    const std::string tenant(store::TenantOf(kept.name()).value_or(""));
    const int shard =
        stream::ShardOf(fmt::format("{}/{}", tenant, kept.dedup_key()), topic_->topic().shards);
    YAGURA_RETURN_IF_ERROR(topic_->Append(shard, id, kept.SerializeAsString()).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Finding> FindingSink::Keep(const v1::Finding& finding) {
  const auto merge = [&finding](v1::Finding& kept) {
    MergeFinding(finding, kept);
    return absl::OkStatus();
  };
  auto kept = findings_.Mutate(Context(), finding.name(), merge);
  if (kept.status().code() != absl::StatusCode::kNotFound) return kept;
  kept = findings_.Create(Context(), finding);
  if (kept.status().code() != absl::StatusCode::kAlreadyExists) return kept;
  return findings_.Mutate(Context(), finding.name(), merge);
}

}  // namespace yagura::detection
