// Producers and readers as a game of one move at a time: the seed decides who moves, who is killed,
// who sleeps while its lease runs out and goes on late as if nothing had happened. So a failure can
// be played again exactly.

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/common/stream/effect_log.h"
#include "tests/unit/common/stream/stream_fixture.h"

namespace yagura::stream {
namespace {

using testing::IsOk;
using testing::StatusIs;

constexpr int kSeeds = 250;
constexpr int kMoves = 250;
constexpr int kShards = 3;

class SimulationTest : public StreamTest {
 protected:
  struct Source {
    int number;
    std::vector<int> next = std::vector<int>(kShards, 0);
    std::vector<std::pair<int, std::string>> unanswered;  // (shard, key), to be sent again
  };
  struct Reader {
    std::string name;
    std::string holder;
    std::optional<LeasedCursor> cursor;
    std::vector<Entry> batch;  // read and not committed
    size_t done = 0;           // effects of the batch
  };
  using Place = std::pair<std::string, int>;  // reader and shard

  const Topic game_{"game", kShards, {"archive", "detection"}};
  std::mt19937 random_;
  std::unique_ptr<Producer> producer_of_game_;
  std::vector<Source> sources_;
  std::vector<Reader> readers_;
  std::unique_ptr<EffectLog> effects_;
  std::map<std::string, EntryId> appended_;
  std::map<std::string, EntryId> acknowledged_;
  std::map<Place, EntryId> committed_;
  std::map<Place, std::set<EntryId>> dead_;
  int lost_leases_ = 0;
  int repeated_effects_ = 0;
  int restarts_left_ = 0;

  int Roll(int sides) { return static_cast<int>(random_() % static_cast<unsigned>(sides)); }

  void SetUpGame(unsigned seed) {
    ASSERT_THAT(flow_->Command({"FLUSHALL"}), IsOk());
    random_.seed(seed);
    producer_of_game_ = std::make_unique<Producer>(flow_, game_, Producer::Options{});
    effects_ = std::make_unique<EffectLog>();
    sources_ = {{0}, {1}, {2}};
    for (int i = 0; i < 6; ++i) {
      readers_.push_back(
          {i % 2 == 0 ? "archive" : "detection", fmt::format("holder{}", i), {}, {}});
    }
    restarts_left_ = seed % 10 == 0 ? 2 : 0;
    if (Roll(2) == 0) {
      ASSERT_THAT(DeclareReaders(*flow_, game_), IsOk());
    }
  }

  // Sends something new or what had no answer; whether the answer arrives is another matter.
  void MoveSource(Source& source) {
    if (source.unanswered.empty()) {
      for (int i = Roll(5); i >= 0; --i) {
        const int shard = Roll(kShards);
        source.unanswered.emplace_back(
            shard, fmt::format("p{}-{}-{:04d}", source.number, shard, source.next[shard]++));
      }
    }
    std::vector<Producer::Item> items;
    for (const auto& [shard, key] : source.unanswered) items.push_back({shard, key, {}});
    std::vector<std::string> payloads;
    payloads.reserve(items.size());
    for (Producer::Item& item : items) {
      payloads.push_back(fmt::format("payload of {}", item.key));
      item.payload = payloads.back();
    }
    // A source killed half-way had sent only the first of them.
    const size_t sent =
        Roll(4) == 0 ? static_cast<size_t>(Roll(static_cast<int>(items.size()) + 1)) : items.size();
    const auto ids = producer_of_game_->AppendAll({items.data(), sent});
    for (size_t i = 0; i < ids.size(); ++i) {
      ASSERT_THAT(ids[i], IsOk());
      if (*ids[i] != EntryId()) appended_[source.unanswered[i].second] = *ids[i];
    }
    if (sent < items.size() || Roll(4) == 0) return;
    for (const auto& [shard, key] : source.unanswered) acknowledged_[key] = appended_.at(key);
    source.unanswered.clear();
  }

  void MoveReader(Reader& reader) {
    if (!reader.cursor) {
      TryAcquire(reader, Roll(kShards));
      return;
    }
    switch (Roll(12)) {
      case 0:
      case 1:
      case 2:
        Read(reader);
        break;
      case 3:
      case 4:
      case 5:
        ApplySome(reader);
        break;
      case 6:
      case 7:
      case 8:
        CommitSome(reader);
        break;
      case 9:
        BuryNext(reader);
        break;
      case 10:
        if (Roll(2) == 0) {
          reader.cursor->Rewind();
          reader.batch.clear();
          reader.done = 0;
        } else {
          ASSERT_THAT(reader.cursor->Release(), IsOk());
          Drop(reader);
        }
        break;
      default:
        if (Roll(3) == 0) Drop(reader);  // killed: nothing is released
    }
  }

  void TryAcquire(Reader& reader, int shard) {
    auto cursor = LeasedCursor::Acquire(flow_, game_, shard,
                                        {reader.name, reader.holder, std::chrono::seconds(600)});
    if (!cursor.ok()) {
      ASSERT_THAT(cursor, StatusIs(absl::StatusCode::kUnavailable, "LEASE_HELD"));
      return;
    }
    ASSERT_EQ(cursor->committed(), (committed_[{reader.name, shard}]));
    reader.cursor.emplace(*std::move(cursor));
  }

  static void Drop(Reader& reader) {
    reader.cursor.reset();
    reader.batch.clear();
    reader.done = 0;
  }

  void LostOr(Reader& reader, const absl::Status& status) {
    if (status.ok()) return;
    ASSERT_THAT(status, StatusIs(absl::StatusCode::kAborted, "LEASE_LOST"));
    ++lost_leases_;
    Drop(reader);
  }

  void Read(Reader& reader) {
    auto entries = reader.cursor->Read(static_cast<size_t>(1 + Roll(8)), 1 << 20, milliseconds(0));
    if (!entries.ok()) return LostOr(reader, entries.status());
    for (Entry& entry : *entries) {
      ASSERT_EQ(entry.payload, "payload of " + entry.key);
      reader.batch.push_back(std::move(entry));
    }
  }

  // Also a holder that has slept over the end of its lease does this: the store must refuse it.
  void ApplySome(Reader& reader) {
    for (int i = Roll(4); i >= 0 && reader.done < reader.batch.size(); --i) {
      if (!effects_->Apply(reader.name, reader.cursor->shard(), reader.cursor->epoch(),
                           reader.batch[reader.done])) {
        ++lost_leases_;
        return Drop(reader);
      }
      ++reader.done;
    }
  }

  void CommitSome(Reader& reader) {
    if (reader.done == 0) return;
    const auto count = static_cast<size_t>(1 + Roll(static_cast<int>(reader.done)));
    const absl::Status status = reader.cursor->Commit(reader.batch[count - 1].id);
    Committed(reader, count, status);
  }

  void BuryNext(Reader& reader) {
    if (reader.done >= reader.batch.size() || Roll(4) != 0) return;
    const Entry& entry = reader.batch[reader.done];
    const Place place(reader.name, reader.cursor->shard());
    const absl::Status status = reader.cursor->CommitDeadLetter(entry.id, absl::InternalError("x"));
    if (status.ok()) dead_[place].insert(entry.id);
    Committed(reader, reader.done + 1, status);
  }

  // Commits of one place follow each other without a gap or a step back, whoever makes them.
  void Committed(Reader& reader, size_t count, const absl::Status& status) {
    if (!status.ok()) return LostOr(reader, status);
    EntryId& place = committed_[{reader.name, reader.cursor->shard()}];
    ASSERT_LT(place, reader.batch.front().id);
    place = reader.batch[count - 1].id;
    reader.batch.erase(reader.batch.begin(), reader.batch.begin() + static_cast<long>(count));
    reader.done -= std::min(reader.done, count);
  }

  void Trim() {
    Trimmer trimmer(flow_, {game_}, milliseconds(1000), Logger::Null());
    ASSERT_THAT(trimmer.TrimOnce(), IsOk());
    for (int shard = 0; shard < kShards; ++shard) {
      const std::set<EntryId> there = IdsIn(shard);
      const EntryId done =
          std::min(committed_[{"archive", shard}], committed_[{"detection", shard}]);
      for (const auto& [key, id] : acknowledged_) {
        if (key[3] - '0' != shard || id <= done) continue;
        ASSERT_TRUE(there.contains(id)) << key << " was trimmed before it was committed";
      }
    }
  }

  std::set<EntryId> IdsIn(int shard) {
    std::set<EntryId> ids;
    const auto all = flow_->Command({"XRANGE", StreamKey(game_.name, shard), "-", "+"});
    EXPECT_THAT(all, IsOk());
    for (const redis::Reply& item : all->items) ids.insert(*EntryId::Parse(item.items[0].text));
    return ids;
  }

  void Move() {
    const int what = Roll(100);
    if (what < 30) return MoveSource(sources_[static_cast<size_t>(Roll(3))]);
    if (what < 88) return MoveReader(readers_[static_cast<size_t>(Roll(6))]);
    if (what < 95) {
      return LetLeaseRunOut(*flow_, game_, Roll(kShards), Roll(2) == 0 ? "archive" : "detection");
    }
    if (what < 98) return Trim();
    if (what == 98) {
      ASSERT_THAT(flow_->Command({"SCRIPT", "FLUSH"}), IsOk());
    } else if (restarts_left_ > 0) {
      --restarts_left_;
      server_->Restart();
    }
  }

  // Everything that was sent gets its answer, and everything left is read.
  void Finish() {
    for (Source& source : sources_) {
      while (!source.unanswered.empty()) MoveSource(source);
    }
    for (const std::string name : {"archive", "detection"}) {
      for (int shard = 0; shard < kShards; ++shard) {
        Reader last{name, "last", {}, {}};
        LetLeaseRunOut(*flow_, game_, shard, name);
        TryAcquire(last, shard);
        ASSERT_TRUE(last.cursor);
        while (!HasFailure()) {
          Read(last);
          while (last.done < last.batch.size()) ApplySome(last);
          const size_t count = last.batch.size();
          if (count == 0) break;
          Committed(last, count, last.cursor->Commit(last.batch.back().id));
        }
      }
    }
  }

  void CheckPlace(const std::string& reader, int shard) {
    std::map<std::string, EntryId> seen;
    EntryId last;
    std::map<char, std::string> last_of_source;
    for (const EffectLog::Effect& effect : effects_->Of(reader, shard)) {
      EXPECT_LT(last, effect.id) << "effects out of order at " << effect.key;
      last = effect.id;
      std::string& before = last_of_source[effect.key[1]];
      EXPECT_LT(before, effect.key) << "a source's order is broken";
      before = effect.key;
      EXPECT_TRUE(seen.emplace(effect.key, effect.id).second) << "doubled: " << effect.key;
    }
    const std::set<EntryId>& dead = dead_[{reader, shard}];
    for (const auto& [key, id] : acknowledged_) {
      if (key[3] - '0' != shard) continue;
      const bool handled = seen.contains(key) ? seen[key] == id : dead.contains(id);
      EXPECT_TRUE(handled) << "lost: " << key;
    }
  }

  void CheckEnd() {
    for (const std::string reader : {"archive", "detection"}) {
      for (int shard = 0; shard < kShards; ++shard) CheckPlace(reader, shard);
      const Worker worker(flow_, game_, {.reader = reader}, nullptr, nullptr, Logger::Null());
      ASSERT_OK_AND_ASSIGN(const uint64_t lag, worker.Lag());
      EXPECT_EQ(lag, 0U);
    }
    Trim();
    for (int shard = 0; shard < kShards; ++shard) {
      EXPECT_TRUE(IdsIn(shard).empty());
      const auto dead = flow_->Command({"XLEN", DeadLetterKey(game_.name, shard)});
      ASSERT_THAT(dead, IsOk());
      EXPECT_EQ(static_cast<size_t>(dead->integer),
                (dead_[{"archive", shard}].size() + dead_[{"detection", shard}].size()));
    }
  }

  void ForgetGame() {
    sources_.clear();
    readers_.clear();
    appended_.clear();
    acknowledged_.clear();
    committed_.clear();
    dead_.clear();
  }
};

TEST_F(SimulationTest, NothingIsLostDoubledOrReorderedWhateverIsKilledOrStalls) {
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    SetUpGame(seed);
    for (int i = 0; i < kMoves && !HasFailure(); ++i) Move();
    if (!HasFailure()) Finish();
    if (!HasFailure()) CheckEnd();
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
    repeated_effects_ += effects_->calls() - effects_->size();
    ForgetGame();
  }
  // The game was worth playing: leases were lost and effects asked for again.
  EXPECT_GT(lost_leases_, kSeeds);
  EXPECT_GT(repeated_effects_, kSeeds);
}

}  // namespace
}  // namespace yagura::stream
