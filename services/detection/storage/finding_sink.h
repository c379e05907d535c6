#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "common/store/store.h"
#include "common/stream/producer.h"
#include "services/detection/domain/windows.h"
#include "services/detection/storage/unjudged_findings.h"
#include "yagura/detection/v1/finding.pb.h"

namespace yagura::detection {

// Where findings go: into the store, then to the topic "findings". Any number of times with the
// same result. Thread-safe.
class FindingSink {
 public:
  // Adds to a finding what follows from what is known now.
  using Step = std::function<void(v1::Finding&)>;
  struct Steps {
    // Whenever one is made or grows, before it is kept: impact and rank. False: something is
    // missing that it is judged by; JudgeAgain when it may be there.
    std::function<bool(v1::Finding&)> judge = {};
    Step adorn = {};  // what is told: advice
  };
  // `unjudged`: where is kept what lacked something; null where there is no `judge`.
  FindingSink(store::Store<v1::Finding> findings, std::shared_ptr<stream::Producer> topic,
              Steps steps, std::shared_ptr<UnjudgedFindings> unjudged);
  FindingSink(store::Store<v1::Finding> findings, std::shared_ptr<stream::Producer> topic)
      : FindingSink(std::move(findings), std::move(topic), Steps(), nullptr) {}
  virtual ~FindingSink() = default;
  // In order; several outcomes of one finding are one write. The topic gets an entry of the whole
  // finding for each outcome that tells, under the key of its id where it began, else of
  // "<id>/<events>". UNAVAILABLE: some may be done; repeat.
  virtual absl::Status Put(const std::vector<Windows::Outcome>& outcomes);
  // Judges what lacked something before, here or in another process, before or after a restart, and
  // tells what came out otherwise than it was told, under the key "<id>/judged-<digest>". What
  // fails stays for the next call and stops nothing else; what is at fault itself, for a week. The
  // first error, and how many there were.
  absl::Status JudgeAgain();

 private:
  absl::StatusOr<v1::Finding> Keep(const Windows::Outcome& outcome);
  absl::Status JudgeAgain(const UnjudgedFindings::One& one);
  absl::Status Tell(v1::Finding kept, const std::vector<std::string>& keys);

  store::Store<v1::Finding> findings_;
  std::shared_ptr<stream::Producer> topic_;
  const Steps steps_;
  const std::shared_ptr<UnjudgedFindings> unjudged_;
};

}  // namespace yagura::detection
