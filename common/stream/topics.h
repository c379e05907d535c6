#pragma once

#include "common/stream/topic.h"

namespace yagura::config {
class SettingsReader;
}

// The topics of the house: the one place that says what they are called, who reads them, and which
// settings they have. How many shards a topic has is kept in Redis by whoever declares it first
// (see DeclareReaders), so that processes with other settings do not start.
namespace yagura::stream {

Topic EventsTopic();    // batches of events: ingestion to archive and detection
Topic HitsTopic();      // matches of rules: detection to its own windows
Topic FindingsTopic();  // findings: detection to notification and ticketing
Topic CoverageTopic();  // what came in and was lost: ingestion to archive and detection

// The section of the topic's name with the keys "shards" and "readers".
Topic ReadTopic(config::SettingsReader& reader, const Topic& fallback);
// The same of "coverage", which has one shard: any other number is an error of the reader.
Topic ReadCoverageTopic(config::SettingsReader& reader, const Topic& fallback);

}  // namespace yagura::stream
