#include "services/detection/storage/finding_sink.h"

#include <map>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "services/detection/domain/findings.h"

namespace yagura::detection {
namespace {

constexpr size_t kMaxUnjudged = 10'000;

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
                         std::shared_ptr<stream::Producer> topic, Steps steps)
    : findings_(std::move(findings)), topic_(std::move(topic)), steps_(std::move(steps)) {}

absl::Status FindingSink::Put(const std::vector<Windows::Outcome>& outcomes) {
  struct Merged {
    Windows::Outcome outcome;
    std::vector<std::string> keys;  // to be told under
  };
  std::vector<Merged> merged;
  std::map<std::string, size_t> places;
  for (const auto& outcome : outcomes) {
    const auto [place, is_new] = places.try_emplace(outcome.finding.name(), merged.size());
    if (is_new) {
      merged.push_back({outcome, {}});
    } else {
      auto& kept = merged[place->second].outcome;
      MergeFinding(outcome.finding, kept.finding);
      kept.began = kept.began || outcome.began;
    }
    if (!outcome.tells) continue;
    const std::string id(store::LastId(outcome.finding.name()));
    merged[place->second].keys.push_back(
        outcome.began ? id : fmt::format("{}/{}", id, outcome.finding.event_count()));
  }
  for (const auto& [outcome, keys] : merged) {
    const auto kept = Keep(outcome);
    // A last word about something that is not there any more.
    if (outcome.closing && kept.status().code() == absl::StatusCode::kNotFound) continue;
    if (!kept.ok()) return kept.status();
    if (!keys.empty() && !kept->untold()) YAGURA_RETURN_IF_ERROR(Tell(*kept, keys));
  }
  return absl::OkStatus();
}

absl::Status FindingSink::Tell(v1::Finding kept, const std::vector<std::string>& keys) {
  const std::string tenant(store::TenantOf(kept.name()).value_or(""));
  const int shard =
      stream::ShardOf(fmt::format("{}/{}", tenant, kept.dedup_key()), topic_->topic().shards);
  if (steps_.adorn) steps_.adorn(kept);
  const std::string payload = kept.SerializeAsString();
  for (const std::string& key : keys) {
    YAGURA_RETURN_IF_ERROR(topic_->Append(shard, key, payload).status());
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Finding> FindingSink::Keep(const Windows::Outcome& outcome) {
  const v1::Finding& finding = outcome.finding;
  bool judged = true;
  const auto merge = [&](v1::Finding& kept) {
    if (MergeFinding(finding, kept) && steps_.judge) judged = steps_.judge(kept);
    return absl::OkStatus();
  };
  auto kept = findings_.Mutate(Context(), finding.name(), merge);
  if (kept.status().code() == absl::StatusCode::kNotFound && !outcome.closing) {
    v1::Finding fresh = finding;
    if (steps_.judge) judged = steps_.judge(fresh);
    kept = findings_.Create(Context(), std::move(fresh));
    if (kept.status().code() == absl::StatusCode::kAlreadyExists) {
      kept = findings_.Mutate(Context(), finding.name(), merge);
    }
  }
  if (kept.ok() && !judged) NoteUnjudged(*kept);
  return kept;
}

void FindingSink::NoteUnjudged(const v1::Finding& kept) {
  {
    const std::lock_guard lock(mutex_);
    if (unjudged_.size() < kMaxUnjudged) unjudged_.insert(kept.name());
  }
  // What was missing may have come, and JudgeAgain gone, before it was noted.
  v1::Finding copy = kept;
  if (steps_.judge(copy)) static_cast<void>(JudgeAgain());
}

absl::Status FindingSink::JudgeAgain() {
  for (;;) {
    std::string name;
    {
      const std::lock_guard lock(mutex_);
      if (unjudged_.empty()) return absl::OkStatus();
      name = unjudged_.extract(unjudged_.begin()).value();
    }
    const absl::Status status = JudgeAgain(name);
    if (status.ok() || status.code() == absl::StatusCode::kNotFound) continue;
    const std::lock_guard lock(mutex_);
    unjudged_.insert(std::move(name));
    return status;
  }
}

absl::Status FindingSink::JudgeAgain(const std::string& name) {
  bool judged = false;
  bool changed = false;
  const auto kept = findings_.Mutate(Context(), name, [&](v1::Finding& finding) {
    const std::string before = finding.impact().SerializeAsString();
    judged = steps_.judge(finding);
    changed = finding.impact().SerializeAsString() != before;
    return absl::OkStatus();
  });
  YAGURA_RETURN_IF_ERROR(kept.status());
  if (!judged) return Unavailable("NOT_JUDGED", "what findings are judged by is not there yet");
  if (!changed || kept->untold()) return absl::OkStatus();
  return Tell(*kept, {fmt::format("{}/judged", store::LastId(name))});
}

}  // namespace yagura::detection
