#include "common/stream/topics.h"

#include "fmt/format.h"

#include "common/config/settings_reader.h"

namespace yagura::stream {

Topic EventsTopic() { return {"events", 4, {"archive", "detection"}}; }
Topic HitsTopic() { return {"hits", 4, {"detection-windows"}}; }
Topic FindingsTopic() { return {"findings", 4, {"notification", "ticketing"}}; }
Topic CoverageTopic() { return {"coverage", 1, {"archive", "detection"}}; }

namespace {

Topic ReadSection(config::SettingsReader& section, const Topic& fallback) {
  Topic topic = fallback;
  topic.shards = static_cast<int>(
      section.Integer("shards", fallback.shards, 1, 256,
                      "Shards; the same for everybody who writes or reads the topic, and never "
                      "changed later: a process with another number does not start."));
  topic.readers = section.Strings("readers", fallback.readers,
                                  "Readers whose progress keeps entries from being trimmed.");
  return topic;
}

config::SettingsReader SectionOf(config::SettingsReader& reader, const Topic& topic) {
  return reader.Section(topic.name, fmt::format("The stream topic \"{}\".", topic.name));
}

}  // namespace

Topic ReadTopic(config::SettingsReader& reader, const Topic& fallback) {
  auto section = SectionOf(reader, fallback);
  return ReadSection(section, fallback);
}

Topic ReadCoverageTopic(config::SettingsReader& reader, const Topic& fallback) {
  auto section = SectionOf(reader, fallback);
  Topic topic = ReadSection(section, fallback);
  if (topic.shards != 1) {
    section.Refuse("shards",
                   "1 is expected: that a source is silent follows from what all ingestion "
                   "processes tell, which must be in one place");
  }
  return topic;
}

}  // namespace yagura::stream
