#pragma once

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/status.h"

#include "common/log/log.h"
#include "common/store/change_feed.h"
#include "services/detection/domain/surroundings.h"

namespace yagura::rpc {
class Channels;
}

namespace yagura::detection {

// Keeps Surroundings as the directory and the catalogue's file have them: reads all at start, then
// what the change feed says has changed, and everything anew now and then. What cannot be had stays
// as it was, and is asked for again. A tenant's first 20,000 assets count, 500,000 of all.
class SurroundingsReader final : public store::FeedFollower::Subscriber {
 public:
  struct Options {
    std::filesystem::path kev_file;  // empty: none
    std::chrono::milliseconds retry{2000};
    std::chrono::milliseconds anyway{600'000};
    std::chrono::milliseconds look_at_files{60'000};
    // Called, from a thread of the reader's, when the directory has been read. May be empty.
    std::function<void()> on_read = {};
  };
  SurroundingsReader(Options options, std::shared_ptr<rpc::Channels> channels,
                     std::shared_ptr<Surroundings> surroundings, Logger logger);
  ~SurroundingsReader() override;  // stops

  // Reads the catalogue before it returns; the directory need not answer yet.
  void Start();
  void Stop();

  void OnRecord(const audit::v1::Record& record) override;
  void OnReset(std::string_view tenant) override;
  void OnStart(std::string_view tenant, bool from_first) override;

 private:
  // What is to be read anew.
  struct Wanted {
    bool all = true;
    bool languages = true;
    std::set<std::string> tenants;

    bool any() const { return all || languages || !tenants.empty(); }
    void Add(const Wanted& more);
  };
  void Work();
  void ReadKev();
  absl::Status Read(const Wanted& wanted);
  absl::Status ReadAssets(const std::string& parent);
  absl::Status ReadLanguages();

  const Options options_;
  const std::shared_ptr<rpc::Channels> channels_;
  const std::shared_ptr<Surroundings> surroundings_;
  const Logger logger_;
  std::string kev_seen_;  // what the file was when it was read
  std::string last_error_;

  std::mutex mutex_;
  std::condition_variable wake_;
  Wanted wanted_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace yagura::detection
