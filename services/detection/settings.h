#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>

#include "absl/status/statusor.h"

#include "common/stream/topics.h"
#include "services/detection/domain/source_watch.h"

namespace yagura::config {
class SettingsReader;
}

namespace yagura::detection {

struct Settings {
  stream::Topic events = stream::EventsTopic();
  stream::Topic hits = stream::HitsTopic();
  stream::Topic findings = stream::FindingsTopic();
  stream::Topic coverage = stream::CoverageTopic();
  SourceWatch::Limits sources;
  std::chrono::milliseconds observation_lateness{15 * 60'000};
  std::chrono::hours observation_catch_up{72};
  int match_threads = 1;
  int window_threads = 1;
  std::chrono::milliseconds lease{8'000};
  std::chrono::milliseconds fold{10 * 60'000};
  std::chrono::milliseconds lateness{2 * 60'000};
  std::chrono::milliseconds silence{10 * 60'000};
  int groups_per_rule = 10'000;
  size_t window_bytes = 256u << 20;
  std::filesystem::path content_folder;  // of Sigma rules; empty: none
  std::filesystem::path advice_folder;   // texts for people; empty: none
  std::filesystem::path kev_file;        // CISA's catalogue; empty: none
  int hunt_threads = 2;
  std::chrono::hours hunt_keep{90 * 24};
  uint64_t hunt_events = 50'000'000;
  std::chrono::hours rule_texts_keep{366 * 24};
};

// Wrong and unknown keys are told by the reader's Finish.
absl::StatusOr<Settings> ReadSettings(config::SettingsReader& reader);

}  // namespace yagura::detection
