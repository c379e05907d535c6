// store-fill ADDRESS [DAYS_AGO [PARSERS]]: the lines of standard input as events of the tenant acme
// in the event store at that address ("unix:/path"), as archive stores them, one received every 50
// microseconds from the begin of that day (UTC; 0, the default: today) on; so that layouts can be
// tried and queries asked by hand. PARSERS is content/parsers, for what is described.
#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "fmt/format.h"

#include "common/event/batch_codec.h"
#include "common/eventstore/client.h"
#include "common/status/status.h"
#include "services/archive/domain/event_table.h"
#include "services/archive/storage/migrations.h"
#include "services/archive/workers/range_inserter.h"
#include "services/archive/workers/retention.h"
#include "services/ingestion/domain/described/catalogue.h"
#include "services/ingestion/domain/line_pipeline.h"

namespace yagura::archive {
namespace {

constexpr size_t kEventsPerInsert = 50'000;
constexpr size_t kBatchBytes = 64 * 1024;
constexpr size_t kDevices = 16;

class Filler {
 public:
  Filler(const std::string& address, std::chrono::days ago,
         std::shared_ptr<const ingestion::ParserCatalogue> parsers)
      : pipeline_(std::move(parsers)) {
    eventstore::ClientOptions options;
    options.addresses = {address};
    client_ = std::make_shared<eventstore::Client>(options);
    start_ = std::chrono::floor<std::chrono::days>(SystemClock()->Now()) - ago;
  }

  Status Run(std::istream& lines) {
    YAGURA_RETURN_IF_ERROR(Migrate(*client_, table_, Logger::Null()));
    ingestion::LineContext context;
    context.origin = "192.0.2.1";
    std::string line;
    while (std::getline(lines, line)) {
      if (bytes_ >= kBatchBytes || builder_.full()) FinishBatch();
      if (builder_.size() == 0) Begin();
      context.receive_time = start_ + std::chrono::microseconds(50) * events_++;
      auto& parsed = pipeline_.Process(line, context);
      parsed.event.device = device_;
      builder_.Add(parsed.event);
      bytes_ += line.size();
      if (events_ % kEventsPerInsert == 0) YAGURA_RETURN_IF_ERROR(Insert());
    }
    return Insert();
  }

  size_t events() const { return events_; }

 private:
  // Batches of one device, one after the other, as a shard has them.
  void Begin() {
    device_ = fmt::format("fw-{:02}", ++batches_ % kDevices);
    builder_.Reset({"acme", event::BatchIdOf({device_, std::to_string(batches_)}), start_});
  }

  void FinishBatch() {
    if (builder_.size() == 0) return;
    range_.entries.push_back({{batches_, 0}, "k", builder_.Finish()});
    bytes_ = 0;
  }

  Status Insert() {
    FinishBatch();
    if (range_.entries.empty()) return absl::OkStatus();
    range_.plan.set_token(fmt::format("fill-{}", batches_));
    const RangeInserter inserter(client_, table_, retention_);
    const auto inserted = inserter.Insert(range_);
    range_.entries.clear();
    return inserted.status();
  }

  std::shared_ptr<eventstore::Client> client_;
  const EventTable table_;
  const Retention retention_{400};
  ingestion::LinePipeline pipeline_;
  event::BatchBuilder builder_;
  RangeData range_;
  TimePoint start_;
  std::string device_;
  size_t bytes_ = 0;
  uint64_t batches_ = 0;
  size_t events_ = 0;
};

}  // namespace
}  // namespace yagura::archive

int main(int argc, char** argv) {
  int days_ago = 0;
  if (argc < 2 || argc > 4 || (argc > 2 && !absl::SimpleAtoi(argv[2], &days_ago))) {
    std::cerr << "usage: store-fill ADDRESS [DAYS_AGO [PARSERS]] < lines\n";
    return 2;
  }
  std::shared_ptr<const yagura::ingestion::ParserCatalogue> parsers;
  if (argc == 4) {
    auto loaded = yagura::ingestion::ParserCatalogue::Load(argv[3]);
    if (!loaded.ok()) {
      std::cerr << "store-fill: " << loaded.status().message() << "\n";
      return 1;
    }
    parsers = std::move(*loaded);
  }
  std::ios::sync_with_stdio(false);
  yagura::archive::Filler filler(argv[1], std::chrono::days(days_ago), std::move(parsers));
  const auto status = filler.Run(std::cin);
  if (!status.ok()) {
    std::cerr << "store-fill: " << status.message() << "\n";
    return 1;
  }
  std::cerr << filler.events() << " events\n";
  return 0;
}
