// The same promises with the real Worker, Trimmer and threads, while connections are cut, leases
// run out under their holders, Redis stands still or is killed, and workers come and go.

#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/common/stream/effect_log.h"
#include "tests/unit/common/stream/stream_fixture.h"

namespace yagura::stream {
namespace {

using testing::IsOk;

constexpr unsigned kSeeds = 16;
constexpr int kBlows = 12;
constexpr int kSources = 2;
constexpr int kShards = 4;

class ChaosTest : public StreamTest {
 protected:
  std::unique_ptr<Worker> MakeWorker(const std::string& reader) {
    return std::make_unique<Worker>(
        flow_, topic_,
        Worker::Options{.reader = reader,
                        .lease = milliseconds(120),
                        .max_entries = 5,
                        .threads = 2,
                        .max_attempts = 3},
        [this, reader](const Worker::Context& context, const std::vector<Entry>& entries) {
          for (const Entry& entry : entries) {
            if (effects_->Apply(reader, context.shard, context.epoch, entry)) continue;
            return absl::Status(absl::StatusCode::kAborted, "fenced off");
          }
          return absl::OkStatus();
        },
        [this](const Worker::Context&, const Entry&, const absl::Status&) { ++dead_letters_; },
        Logger::Null());
  }

  // Sends in order, again and again until it has an answer, as a sender must.
  void Source(int number) {
    for (int i = 0; !stop_sources_; ++i) {
      std::vector<std::string> keys;
      std::vector<Producer::Item> items;
      for (int shard = 0; shard < kShards; ++shard) {
        keys.push_back(fmt::format("p{}-{}-{:06d}", number, shard, i));
      }
      for (int shard = 0; shard < kShards; ++shard) {
        items.push_back({shard, keys[static_cast<size_t>(shard)], "payload"});
      }
      const auto all_ok = [&] {
        for (const auto& id : producer_->AppendAll(items)) {
          if (!id.ok()) return false;
        }
        return true;
      };
      while (!all_ok()) std::this_thread::sleep_for(milliseconds(1));
      sent_[static_cast<size_t>(number)] = i + 1;
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
  }

  void Strike(std::vector<std::unique_ptr<Worker>>& workers) {
    switch (random_() % 6) {
      case 0:
      case 1:
        (void)flow_->Command({"HSET",
                              LeaseKey(topic_.name, static_cast<int>(random_() % kShards),
                                       random_() % 2 == 0 ? "archive" : "detection"),
                              "until", "1"});
        break;
      case 2:
        (void)flow_->Command({"CLIENT", "KILL", "TYPE", "normal"});
        break;
      case 3: {
        auto& worker = workers[random_() % workers.size()];
        worker->Stop();
        worker->Start();
        break;
      }
      case 4:
        server_->Pause();
        std::this_thread::sleep_for(milliseconds(random_() % 200));
        server_->Resume();
        break;
      default:
        server_->KillHard();
        std::this_thread::sleep_for(milliseconds(random_() % 50));
        server_->Restart();
    }
    std::this_thread::sleep_for(milliseconds(random_() % 40));
  }

  void Play(unsigned seed) {
    random_.seed(seed);
    stop_sources_ = false;
    effects_ = std::make_unique<EffectLog>();
    ASSERT_THAT(flow_->Command({"FLUSHALL"}), IsOk());
    ASSERT_THAT(DeclareReaders(*flow_, topic_), IsOk());
    std::vector<std::unique_ptr<Worker>> workers;
    for (const char* reader : {"archive", "detection", "archive", "detection"}) {
      workers.push_back(MakeWorker(reader));
      workers.back()->Start();
    }
    Trimmer trimmer(flow_, {topic_}, milliseconds(7), Logger::Null());
    trimmer.Start();
    std::vector<std::thread> sources;
    for (int i = 0; i < kSources; ++i) sources.emplace_back([this, i] { Source(i); });
    for (int i = 0; i < kBlows; ++i) Strike(workers);
    stop_sources_ = true;
    for (std::thread& source : sources) source.join();
    EXPECT_TRUE(Eventually([this] { return Lag("archive") == 0 && Lag("detection") == 0; }));
    for (auto& worker : workers) worker->Stop();
    trimmer.Stop();
    Check();
  }

  void Check() {
    EXPECT_EQ(dead_letters_, 0);
    for (const std::string reader : {"archive", "detection"}) {
      for (int shard = 0; shard < kShards; ++shard) {
        SCOPED_TRACE(fmt::format("{} of shard {}", reader, shard));
        std::map<char, int> next;
        EntryId last;
        for (const EffectLog::Effect& effect : effects_->Of(reader, shard)) {
          EXPECT_LT(last, effect.id);
          last = effect.id;
          const char source = effect.key[1];
          EXPECT_EQ(effect.key, fmt::format("p{}-{}-{:06d}", source, shard, next[source]++));
        }
        for (int i = 0; i < kSources; ++i) {
          EXPECT_EQ(next[static_cast<char>('0' + i)], sent_[static_cast<size_t>(i)]);
        }
      }
    }
  }

  std::mt19937 random_;
  std::atomic<bool> stop_sources_ = false;
  std::vector<int> sent_ = std::vector<int>(kSources, 0);
  std::unique_ptr<EffectLog> effects_;
  std::atomic<int> dead_letters_ = 0;
};

TEST_F(ChaosTest, WorkersKeepThePromisesWhateverHappensToThem) {
  flow_ = server_->NewPool(64);
  producer_ = std::make_unique<Producer>(flow_, topic_, Producer::Options{});
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Play(seed);
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace yagura::stream
