#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "common/store/projection.h"
#include "tests/unit/common/store/fixture.h"

namespace yagura::store {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

constexpr auto kWait = std::chrono::seconds(5);

class ProjectionTest : public StoreTest {
 protected:
  void SetUp() override { feed_->Start(); }

  static std::vector<std::string> Hosts(const absl::StatusOr<Page<Asset>>& page) {
    EXPECT_THAT(page, IsOk());
    std::vector<std::string> hosts;
    if (page.ok()) {
      for (const auto& asset : page->items) hosts.push_back(asset.host_name());
    }
    return hosts;
  }
  static ListQuery Query(std::string_view order, std::string_view filter = "", int size = 100) {
    return {.parent = "tenants/-",
            .filter = std::string(filter),
            .order_by = std::string(order),
            .page_size = size,
            .page_token = ""};
  }
  void Add(std::string_view tenant, std::string_view id, std::string_view host) {
    ASSERT_THAT(assets_.Create(By("alice"), MakeAsset(tenant, id, host)), IsOk());
  }

  std::shared_ptr<FeedFollower> feed_ = std::make_shared<FeedFollower>(pool_, Logger::Null());
  const TenantScope everyone_{.all = true, .tenants = {}};
};

TEST_F(ProjectionTest, ListsTheResourcesOfManyTenantsInOneOrder) {
  Add("acme", "a", "m");
  Add("beta", "a", "z");
  Projection<Asset> projection(assets_, feed_);
  Add("beta", "b", "a");
  Add("gamma", "a", "n");
  EXPECT_THAT(Hosts(projection.List(Query("host_name"), everyone_)),
              ElementsAre("a", "m", "n", "z"));
  EXPECT_THAT(Hosts(projection.List(Query("host_name desc"), everyone_)),
              ElementsAre("z", "n", "m", "a"));
  EXPECT_THAT(Hosts(projection.List(Query("note desc"), everyone_)),
              ElementsAre("n", "a", "z", "m"))
      << "no declared order, all alike: by name";
  EXPECT_THAT(Hosts(projection.List(Query("host_name", "host_name > b"), everyone_)),
              ElementsAre("m", "n", "z"));
}

TEST_F(ProjectionTest, ShowsTheTenantsOfTheScopeAlone) {
  Projection<Asset> projection(assets_, feed_);
  for (const char* tenant : {"acme", "acme-2", "beta"}) Add(tenant, "a", tenant);
  EXPECT_THAT(Hosts(projection.List(Query("host_name"), {.all = false, .tenants = {"acme"}})),
              ElementsAre("acme"));
  EXPECT_THAT(Hosts(projection.List(Query("host_name"), {})), IsEmpty());
}

TEST_F(ProjectionTest, AListSeesEveryWriteThatWasAcknowledgedBefore) {
  Projection<Asset> projection(assets_, feed_);
  for (int i = 0; i < 100; ++i) {
    const std::string tenant = fmt::format("t{}", i % 7);
    Add(tenant, fmt::format("a{}", i), fmt::format("h{}", i));
    EXPECT_THAT(Hosts(projection.List(Query("", fmt::format("host_name = h{}", i)), everyone_)),
                SizeIs(1));
    const std::string name = fmt::format("tenants/{}/assets/a{}", tenant, i);
    if (i % 3 == 0) {
      ASSERT_THAT(assets_.Delete(By("alice"), name), IsOk());
      EXPECT_THAT(Hosts(projection.List(Query("", fmt::format("host_name = h{}", i)), everyone_)),
                  IsEmpty());
    }
  }
  EXPECT_EQ(projection.size(), 66u);
}

TEST_F(ProjectionTest, PagesAcrossTenantsStayInPlaceWhileThingsChange) {
  Projection<Asset> projection(assets_, feed_);
  for (int i = 0; i < 30; ++i) {
    Add(fmt::format("t{}", i % 4), fmt::format("a{}", i), fmt::format("h{:02}", i));
  }
  std::vector<std::string> seen;
  auto query = Query("host_name", "", 7);
  do {
    ASSERT_OK_AND_ASSIGN(const auto page, projection.List(query, everyone_));
    for (const auto& asset : page.items) seen.push_back(asset.host_name());
    query.page_token = page.next_page_token;
    Add("t0", fmt::format("new{}", seen.size()), "h00a");
  } while (!query.page_token.empty());
  EXPECT_THAT(seen, SizeIs(30));
  query.page_token = "nonsense";
  EXPECT_THAT(projection.List(query, everyone_), StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(projection.List(Query("addresses"), everyone_),
              StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(projection.List(Query("", "x = 1"), everyone_),
              StatusIs(StatusCode::kInvalidArgument));
  EXPECT_THAT(projection.List(Query("", "", -1), everyone_),
              StatusIs(StatusCode::kInvalidArgument));
}

// Whichever index a filter is looked up in, pages hold what evaluating the filter on everything
// finds.
TEST_F(ProjectionTest, PagesWithAnIndexHoldWhatThoseWithoutHold) {
  Projection<Asset> projection(assets_, feed_);
  std::mt19937 random(7);
  for (int i = 0; i < 200; ++i) {
    Asset asset = MakeAsset(fmt::format("t{}", i % 3), fmt::format("a{}", i),
                            fmt::format("h{}", random() % 20));
    asset.set_criticality(static_cast<directory::v1::Criticality>(random() % 4));
    for (int p = 0; p < 2; ++p) asset.add_products(fmt::format("p{}", random() % 5));
    clock_->Advance(std::chrono::seconds(random() % 2));
    ASSERT_THAT(assets_.Create(By("alice"), asset), IsOk());
    if (i % 5 == 0) {
      asset.set_criticality(directory::v1::CRITICALITY_HIGH);
      ASSERT_THAT(assets_.Update(By("alice"), asset), IsOk());
    }
  }
  const auto names = [&](std::string_view filter, std::string_view order, int page_size) {
    std::vector<std::string> found;
    ListQuery query = Query(order, filter, page_size);
    do {
      const auto page = projection.List(query, {.all = false, .tenants = {"t0", "t2"}});
      EXPECT_THAT(page, IsOk());
      if (!page.ok()) return found;
      for (const auto& asset : page->items) found.push_back(asset.name());
      query.page_token = page->next_page_token;
    } while (!query.page_token.empty());
    return found;
  };
  size_t total = 0;
  for (const std::string filter :
       {"criticality = CRITICALITY_HIGH", "criticality = CRITICALITY_HIGH AND host_name > h1",
        "criticality = CRITICALITY_LOW products:p1", "host_name = h3",
        "criticality = CRITICALITY_CRITICAL"}) {
    // Written so that no index can be bound.
    const std::string evaluated = "(" + filter + ") OR host_name = \"no such host\"";
    for (const char* order : {"", "name desc", "create_time", "create_time desc", "host_name"}) {
      const auto expected = names(evaluated, order, 1000);
      EXPECT_EQ(names(filter, order, 1000), expected) << filter << " by " << order;
      EXPECT_EQ(names(filter, order, 3), expected) << filter << " by " << order;
      total += expected.size();
    }
  }
  EXPECT_GT(total, 200u);
}

TEST_F(ProjectionTest, LeavesOutWhatShallNotBeKept) {
  Projection<Asset> projection(assets_, feed_,
                               [](const Asset& asset) { return asset.note() != "closed"; });
  Add("acme", "a", "h");
  EXPECT_THAT(Hosts(projection.List(Query(""), everyone_)), SizeIs(1));
  ASSERT_THAT(assets_.Mutate(By("alice"), "tenants/acme/assets/a",
                             [](Asset& asset) {
                               asset.set_note("closed");
                               return absl::OkStatus();
                             }),
              IsOk());
  EXPECT_THAT(Hosts(projection.List(Query(""), everyone_)), IsEmpty());
  EXPECT_EQ(projection.size(), 0u);
}

TEST_F(ProjectionTest, AWatcherHearsOfChangesInItsScopeUntilItsHandleGoes) {
  Projection<Asset> projection(assets_, feed_);
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::string> heard;
  auto handle = projection.Watch(
      {.all = false, .tenants = {"acme"}},
      [&](const audit::v1::Record& record, const Asset* asset) {
        const std::lock_guard lock(mutex);
        heard.push_back(fmt::format("{} {}", audit::v1::Action_Name(record.action()),
                                    asset != nullptr ? asset->host_name() : "-"));
        changed.notify_all();
      });
  Add("acme", "a", "h");
  Add("beta", "a", "other");
  ASSERT_THAT(assets_.Delete(By("alice"), "tenants/acme/assets/a"), IsOk());
  {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, kWait,
                                 [&] { return !heard.empty() && heard.back() == "DELETED -"; }));
    for (const auto& what : heard) EXPECT_EQ(what.find("other"), std::string::npos);
  }
  handle.reset();
  const size_t before = heard.size();
  Add("acme", "b", "h");
  ASSERT_THAT(projection.List(Query(""), everyone_), IsOk());
  EXPECT_EQ(heard.size(), before);
}

TEST_F(ProjectionTest, DroppingAWatchersHandleWaitsForItsCall) {
  Projection<Asset> projection(assets_, feed_);
  std::mutex mutex;
  std::condition_variable changed;
  bool called = false;
  bool dropped = false;
  bool dropped_during_the_call = false;
  auto handle =
      projection.Watch({.all = true, .tenants = {}}, [&](const audit::v1::Record&, const Asset*) {
        std::unique_lock lock(mutex);
        called = true;
        changed.notify_all();
        dropped_during_the_call =
            changed.wait_for(lock, std::chrono::milliseconds(300), [&] { return dropped; });
      });
  Add("acme", "a", "h");
  {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, kWait, [&] { return called; }));
  }
  handle.reset();
  const std::lock_guard after(mutex);
  dropped = true;
  changed.notify_all();
  EXPECT_FALSE(dropped_during_the_call);
}

TEST_F(ProjectionTest, AWatcherMayDropItsOwnHandle) {
  Projection<Asset> projection(assets_, feed_);
  std::mutex mutex;
  std::condition_variable changed;
  int calls = 0;
  std::shared_ptr<void> handle;
  {
    const std::lock_guard assigning(mutex);
    handle =
        projection.Watch({.all = true, .tenants = {}}, [&](const audit::v1::Record&, const Asset*) {
          const std::lock_guard lock(mutex);
          handle.reset();
          ++calls;
          changed.notify_all();
        });
  }
  Add("acme", "a", "h");
  {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, kWait, [&] { return calls == 1; }));
  }
  Add("acme", "b", "h");
  ASSERT_THAT(projection.List(Query(""), everyone_), IsOk());
  EXPECT_EQ(calls, 1);
}

TEST_F(ProjectionTest, SurvivesARestartOfRedis) {
  Projection<Asset> projection(assets_, feed_);
  Add("acme", "a", "before");
  ASSERT_THAT(projection.List(Query(""), everyone_), IsOk());
  server_.KillHard();
  EXPECT_THAT(projection.List(Query(""), everyone_), StatusIs(StatusCode::kUnavailable));
  server_.Restart();
  Add("beta", "a", "during");
  const auto deadline = std::chrono::steady_clock::now() + kWait;
  auto page = projection.List(Query("host_name"), everyone_);
  while (!page.ok() && std::chrono::steady_clock::now() < deadline) {
    page = projection.List(Query("host_name"), everyone_);
  }
  EXPECT_THAT(Hosts(page), ElementsAre("before", "during"));
}

TEST_F(ProjectionTest, AgreesWithTheStoreAfterManyWritersAtOnce) {
  Projection<Asset> projection(assets_, feed_);
  std::vector<std::thread> writers;
  for (int w = 0; w < 6; ++w) {
    writers.emplace_back([this, w] {
      for (int i = 0; i < 100; ++i) {
        const std::string id = fmt::format("a{}", i % 20);
        const std::string tenant = fmt::format("t{}", i % 3);
        const std::string name = fmt::format("tenants/{}/assets/{}", tenant, id);
        // Any of these may lose against another writer; the end state must agree all the same.
        switch ((i + w) % 3) {
          case 0:
            static_cast<void>(assets_.Create(By("w"), MakeAsset(tenant, id, fmt::format("{}", w))));
            break;
          case 1:
            static_cast<void>(assets_.Mutate(By("w"), name, [&](Asset& asset) {
              asset.set_host_name(fmt::format("{}-{}", w, i));
              return absl::OkStatus();
            }));
            break;
          default:
            static_cast<void>(assets_.Delete(By("w"), name));
        }
      }
    });
  }
  for (auto& writer : writers) writer.join();
  std::vector<std::string> stored;
  for (const char* tenant : {"t0", "t1", "t2"}) {
    ASSERT_THAT(assets_.ForEach(tenant,
                                [&stored](const Asset& asset) {
                                  stored.push_back(asset.SerializeAsString());
                                  return absl::OkStatus();
                                }),
                IsOk());
  }
  ASSERT_OK_AND_ASSIGN(const auto page, projection.List(Query("", "", 1000), everyone_));
  std::vector<std::string> listed;
  for (const auto& asset : page.items) listed.push_back(asset.SerializeAsString());
  EXPECT_THAT(listed, ::testing::UnorderedElementsAreArray(stored));
}

}  // namespace
}  // namespace yagura::store
