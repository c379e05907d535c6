#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"

#include "services/ingestion/domain/described/catalogue.h"
#include "services/ingestion/domain/line_pipeline.h"
#include "services/ingestion/domain/sender_memory.h"

// Lines read here as ingestion reads them: what `parse` and `detect` share.
namespace yagura::cli {

struct OfflineOptions {
  std::string parser;            // empty: recognised
  std::string zone;              // IANA name; empty: UTC
  std::string charset;           // as of a source; empty: UTF-8
  std::string received = "now";  // as ParseWhen reads it
  std::string content;           // folder; empty: found
};

// --parser, --time-zone, --charset, --received, --content.
void AddOfflineOptions(CLI::App& command, OfflineOptions& options);

// The shipped and described parsers of content/parsers.
absl::StatusOr<std::shared_ptr<const ingestion::ParserCatalogue>> LoadParsers(
    const OfflineOptions& options);

// "auto" and all names that a source's parser may have; none where content/ cannot be read.
std::vector<std::string> KnownParsers();

// Not thread-safe.
class OfflineLines {
 public:
  // INVALID_ARGUMENT for a parser, zone, charset or time that there is not.
  static absl::StatusOr<std::unique_ptr<OfflineLines>> Make(
      const OfflineOptions& options, std::shared_ptr<const ingestion::ParserCatalogue> parsers);

  // Valid until the next call, and as long as `line`.
  ingestion::ParsedLine& Read(std::string_view line) { return pipeline_.Process(line, context_); }
  TimePoint receive_time() const { return context_.receive_time; }

 private:
  explicit OfflineLines(std::shared_ptr<const ingestion::ParserCatalogue> parsers)
      : pipeline_(std::move(parsers)) {}

  std::string parser_;
  ingestion::LinePipeline pipeline_;
  ingestion::Parser* likely_ = nullptr;
  ingestion::SenderMemory memory_;
  ingestion::LineContext context_;
};

}  // namespace yagura::cli
