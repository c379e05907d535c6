#include "services/detection/storage/finding_sink.h"

#include <chrono>
#include <map>
#include <utility>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/store/resource_name.h"
#include "services/detection/domain/findings.h"

namespace yagura::detection {
namespace {

// A finding that cannot be judged for its own sake is tried for so long.
constexpr std::chrono::hours kPatience{7 * 24};
// One that was noted and not written yet: the step that does it comes again.
constexpr std::chrono::hours kMadeWithin{1};
// So many one after the other that may succeed later: it is not they that are at fault.
constexpr int kMostInARow = 20;

store::WriteContext Context() {
  return {.principal = "services/detection",
          .on_behalf_of = "",
          .method = "detection/windows",
          .request_id = "",
          .request_digest = "",
          .detail = ""};
}

std::string DigestOf(const v1::Impact& impact) { return ShortDigest({impact.SerializeAsString()}); }

// A last word says no more than counts and times: what one that grew says besides is kept,
// whichever came first.
void Merge(const Windows::Outcome& outcome, Windows::Outcome& kept) {
  if (kept.closing && !outcome.closing) {
    const v1::Finding last_word = std::exchange(kept.finding, outcome.finding);
    MergeFinding(last_word, kept.finding);
    kept.closing = false;
  } else {
    MergeFinding(outcome.finding, kept.finding);
  }
  kept.began = kept.began || outcome.began;
}

bool MayPass(const absl::Status& status) {
  const bool is_passing = status.code() == absl::StatusCode::kUnavailable ||
                          status.code() == absl::StatusCode::kResourceExhausted;
  return is_passing && ErrorReason(status) != "NOT_JUDGED";
}

}  // namespace

FindingSink::FindingSink(store::Store<v1::Finding> findings,
                         std::shared_ptr<stream::Producer> topic, Steps steps,
                         std::shared_ptr<UnjudgedFindings> unjudged)
    : findings_(std::move(findings)),
      topic_(std::move(topic)),
      steps_(std::move(steps)),
      unjudged_(std::move(unjudged)) {}

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
      Merge(outcome, merged[place->second].outcome);
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
  const std::string& name = finding.name();
  // What lacks something is noted before it is written, so that no kill makes it forgotten.
  std::string noted;
  const auto judge = [&](v1::Finding& written, bool is_told) -> absl::Status {
    noted.clear();
    const v1::Impact before = written.impact();
    if (!steps_.judge || steps_.judge(written)) return absl::OkStatus();
    noted = DigestOf(is_told ? before : written.impact());
    return unjudged_->Note(name, noted);
  };
  const auto merge = [&](v1::Finding& kept) {
    return MergeFinding(finding, kept) ? judge(kept, true) : absl::OkStatus();
  };
  auto kept = findings_.Mutate(Context(), name, merge);
  if (kept.status().code() == absl::StatusCode::kNotFound && !outcome.closing) {
    v1::Finding fresh = finding;
    YAGURA_RETURN_IF_ERROR(judge(fresh, false));
    kept = findings_.Create(Context(), std::move(fresh));
    if (kept.status().code() == absl::StatusCode::kAlreadyExists) {
      kept = findings_.Mutate(Context(), name, merge);
    }
  }
  // And behind that: who was quicker has judged what was there before.
  if (kept.ok() && !noted.empty()) YAGURA_RETURN_IF_ERROR(unjudged_->Note(name, noted));
  return kept;
}

absl::Status FindingSink::JudgeAgain() {
  if (unjudged_ == nullptr) return absl::OkStatus();
  absl::Status first;
  size_t failed = 0;
  int in_a_row = 0;
  const absl::Status all = unjudged_->ForEach([&](const UnjudgedFindings::One& one) {
    absl::Status status = JudgeAgain(one);
    if (status.ok()) status = unjudged_->Remove(one);
    in_a_row = MayPass(status) ? in_a_row + 1 : 0;
    if (status.ok()) return status;
    ++failed;
    if (first.ok()) first = status;
    return in_a_row < kMostInARow ? absl::OkStatus() : status;
  });
  if (first.ok()) return all;
  return Annotate(first, fmt::format("{} of them", failed));
}

// OK: there is nothing left to do about it.
absl::Status FindingSink::JudgeAgain(const UnjudgedFindings::One& one) {
  bool judged = false;
  const auto kept = findings_.Mutate(Context(), one.name, [&](v1::Finding& finding) {
    judged = steps_.judge(finding);
    return absl::OkStatus();
  });
  if (kept.status().code() == absl::StatusCode::kNotFound && one.age > kMadeWithin) {
    return absl::OkStatus();
  }
  if (!kept.ok()) {
    return one.age > kPatience && !MayPass(kept.status()) ? absl::OkStatus() : kept.status();
  }
  if (!judged) return Unavailable("NOT_JUDGED", "what findings are judged by is not there yet");
  // Compared with what was told and not with what was kept a moment ago: it may have been judged
  // before and not been told.
  const std::string digest = DigestOf(kept->impact());
  if (digest == one.told || kept->untold()) return absl::OkStatus();
  return Tell(*kept, {fmt::format("{}/judged-{}", store::LastId(one.name), digest.substr(0, 8))});
}

}  // namespace yagura::detection
