#include <algorithm>
#include <random>
#include <thread>

#include "common/text/text.h"
#include "tests/unit/common/store/fixture.h"

namespace yagura::store {
namespace {

using absl::StatusCode;
using directory::v1::Criticality;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

ListQuery Query(std::string_view filter, std::string_view order_by = "", int page_size = 0,
                std::string_view token = "") {
  return {.parent = "tenants/acme",
          .filter = std::string(filter),
          .order_by = std::string(order_by),
          .page_size = page_size,
          .page_token = std::string(token)};
}

class ListTest : public StoreTest {
 protected:
  void Add(std::string_view id, std::string_view host, int criticality = 0,
           std::vector<std::string> products = {}) {
    auto asset = MakeAsset("acme", id, host);
    asset.set_criticality(static_cast<Criticality>(criticality));
    for (const auto& product : products) asset.add_products(product);
    ASSERT_THAT(assets_.Create(By("alice"), asset), IsOk());
    clock_->Advance(std::chrono::seconds(1));
  }

  // All pages, one after the other.
  std::vector<std::string> All(ListQuery query) {
    std::vector<std::string> ids;
    while (true) {
      const auto page = assets_.List(query);
      EXPECT_THAT(page, IsOk());
      if (!page.ok()) return ids;
      for (const auto& id : Ids(*page)) ids.push_back(id);
      if (page->next_page_token.empty()) return ids;
      query.page_token = page->next_page_token;
    }
  }
};

TEST_F(ListTest, DeclaredOrdersWorkBothWays) {
  Add("c", "alpha");
  Add("a", "gamma");
  Add("b", "beta");
  EXPECT_THAT(All(Query("")), ElementsAre("a", "b", "c"));
  EXPECT_THAT(All(Query("", "name desc")), ElementsAre("c", "b", "a"));
  EXPECT_THAT(All(Query("", "create_time")), ElementsAre("c", "a", "b"));
  EXPECT_THAT(All(Query("", "create_time desc")), ElementsAre("b", "a", "c"));
  EXPECT_THAT(All(Query("", "host_name asc")), ElementsAre("c", "b", "a"));
}

TEST_F(ListTest, EveryPageSizeGivesTheSameListWithoutAnEmptyLastPage) {
  std::vector<std::string> expected;
  for (int i = 0; i < 23; ++i) {
    expected.push_back(fmt::format("a{:02}", i));
    Add(expected.back(), fmt::format("h{}", i % 4));
  }
  for (const char* order : {"name", "create_time"}) {
    for (int size = 1; size <= 25; ++size) {
      EXPECT_THAT(All(Query("", order, size)), ElementsAreArray(expected)) << order << size;
    }
  }
  ASSERT_OK_AND_ASSIGN(const auto page, assets_.List(Query("", "", 23)));
  EXPECT_THAT(page.next_page_token, IsEmpty());
  std::reverse(expected.begin(), expected.end());
  EXPECT_THAT(All(Query("", "create_time desc", 4)), ElementsAreArray(expected));
}

TEST_F(ListTest, EqualityFieldsOfAnIndexNarrowTheList) {
  Add("a", "x", 3);
  Add("b", "x", 1);
  Add("c", "x", 3);
  EXPECT_THAT(All(Query("criticality = CRITICALITY_HIGH", "create_time desc")),
              ElementsAre("c", "a"));
  EXPECT_THAT(All(Query("criticality = criticality_high AND host_name = x")),
              ElementsAre("a", "c"));
  EXPECT_THAT(All(Query("criticality = CRITICALITY_MEDIUM", "create_time")), IsEmpty());
  EXPECT_THAT(All(Query("NOT criticality = CRITICALITY_HIGH", "create_time")), ElementsAre("b"));
}

TEST_F(ListTest, ARepeatedFieldIsFoundByEachOfItsValues) {
  Add("a", "x", 0, {"nginx", "openssl"});
  Add("b", "x", 0, {"openssl", "openssl"});
  EXPECT_THAT(All(Query("products:openssl")), ElementsAre("a", "b"));
  EXPECT_THAT(All(Query("products:nginx products:openssl")), ElementsAre("a"));
  EXPECT_THAT(All(Query("products:ssl")), IsEmpty());
}

TEST_F(ListTest, IndexesFollowChanges) {
  Add("a", "x", 1, {"old"});
  ASSERT_THAT(assets_.Mutate(By("alice"), "tenants/acme/assets/a",
                             [](Asset& asset) {
                               asset.set_criticality(directory::v1::CRITICALITY_HIGH);
                               asset.set_host_name("y");
                               asset.clear_products();
                               asset.add_products("new");
                               return absl::OkStatus();
                             }),
              IsOk());
  EXPECT_THAT(All(Query("criticality = CRITICALITY_LOW")), IsEmpty());
  EXPECT_THAT(All(Query("criticality = CRITICALITY_HIGH")), ElementsAre("a"));
  EXPECT_THAT(All(Query("products:old")), IsEmpty());
  EXPECT_THAT(All(Query("products:new")), ElementsAre("a"));
  EXPECT_THAT(All(Query("", "host_name")), ElementsAre("a"));
  ASSERT_OK_AND_ASSIGN(const auto entries,
                       pool_->Command({"ZCARD", "y:{acme}:directory:asset#by_product@1"}));
  EXPECT_EQ(entries.integer, 1);
}

TEST_F(ListTest, OtherPredicatesAreEvaluatedOnTheCandidates) {
  std::vector<std::string> expected;
  for (int i = 0; i < 300; ++i) {
    Add(fmt::format("a{:03}", i), i % 50 == 0 ? "needle" : "hay");
    if (i % 50 == 0) expected.push_back(fmt::format("a{:03}", i));
  }
  EXPECT_THAT(All(Query("host_name:NEED", "", 4)), ElementsAreArray(expected));
  EXPECT_THAT(All(Query("needle", "", 4)), ElementsAreArray(expected));
}

TEST_F(ListTest, AfterFiveThousandCandidatesAShortPageWithATokenIsGiven) {
  std::vector<std::thread> writers;
  for (int w = 0; w < 4; ++w) {
    writers.emplace_back([this, w] {
      for (int i = w; i < 5200; i += 4) {
        const bool last = i == 5199;
        const auto asset = MakeAsset("acme", fmt::format("a{:05}", i), last ? "needle" : "hay");
        EXPECT_THAT(assets_.Create(By("alice"), asset), IsOk());
      }
    });
  }
  for (auto& writer : writers) writer.join();
  ASSERT_OK_AND_ASSIGN(const auto first, assets_.List(Query("host_name = needle", "name")));
  EXPECT_THAT(first.items, IsEmpty());
  ASSERT_FALSE(first.next_page_token.empty());
  ASSERT_OK_AND_ASSIGN(const auto second,
                       assets_.List(Query("host_name = needle", "name", 0, first.next_page_token)));
  EXPECT_THAT(Ids(second), ElementsAre("a05199"));
  EXPECT_THAT(second.next_page_token, IsEmpty());
}

TEST_F(ListTest, ATokenServesItsOwnQueryAlone) {
  for (const char* id : {"a", "b", "c"}) Add(id, "x");
  ASSERT_OK_AND_ASSIGN(const auto page, assets_.List(Query("", "", 1)));
  const std::string token = page.next_page_token;
  ASSERT_FALSE(token.empty());
  EXPECT_THAT(assets_.List(Query("", "", 2, token)), IsOk()) << "another size is the same query";
  const auto refused = [](const absl::StatusOr<Page<Asset>>& result) {
    EXPECT_THAT(result, StatusIs(StatusCode::kInvalidArgument));
  };
  refused(assets_.List(Query("", "create_time", 1, token)));
  refused(assets_.List(Query("host_name = x", "", 1, token)));
  auto other = Query("", "", 1, token);
  other.parent = "tenants/other";
  refused(assets_.List(other));
  for (size_t i = 0; i < token.size(); ++i) {
    std::string tampered = token;
    tampered[i] = tampered[i] == 'A' ? 'B' : 'A';
    refused(assets_.List(Query("", "", 1, tampered)));
  }
  refused(assets_.List(Query("", "", 1, token + "AAAA")));
  refused(assets_.List(Query("", "", 1, "nonsense!")));
  refused(assets_.List(Query("", "", 1, std::string(100'000, 'A'))));
}

TEST_F(ListTest, BadQueriesSayWhatIsWrong) {
  const auto message = [this](ListQuery query) {
    const auto page = assets_.List(query);
    EXPECT_THAT(page, StatusIs(StatusCode::kInvalidArgument));
    return std::string(page.status().message());
  };
  EXPECT_THAT(message(Query("", "", -1)), HasSubstr("page_size"));
  EXPECT_THAT(message(Query("nothing = 1")), HasSubstr("nothing"));
  EXPECT_THAT(message(Query("", "note")), HasSubstr("host_name"));
  EXPECT_THAT(message(Query("", "create_time, host_name")), HasSubstr("order_by"));
  EXPECT_THAT(message(Query("", "create_time upwards")), HasSubstr("order_by"));
  for (const char* parent : {"", "tenants", "tenants/", "tenants/-", "tenants/acme/assets",
                             "tenants/acme/assets/a", "customers/acme", "tenants/a}b"}) {
    auto query = Query("");
    query.parent = parent;
    EXPECT_THAT(message(query), HasSubstr("parent")) << parent;
  }
}

TEST_F(ListTest, PageSizesAreClamped) {
  for (int i = 0; i < 1100; ++i) {
    ASSERT_THAT(assets_.Create(By("alice"), MakeAsset("acme", fmt::format("a{}", i))), IsOk());
  }
  EXPECT_THAT(assets_.List(Query(""))->items, SizeIs(50));
  EXPECT_THAT(assets_.List(Query("", "", 1'000'000))->items, SizeIs(1000));
}

TEST_F(ListTest, AParentBelowTheTenantNarrowsTheList) {
  Kind kind = AssetKind();
  kind.pattern = "tenants/{tenant}/sites/{site}/assets/{asset}";
  kind.kind = "siteasset";
  Store<Asset> nested(pool_, kind, clock_);
  for (const char* name :
       {"tenants/acme/sites/osaka/assets/a", "tenants/acme/sites/osaka/assets/b",
        "tenants/acme/sites/osaka2/assets/c", "tenants/acme/sites/tokyo/assets/a"}) {
    Asset asset;
    asset.set_name(name);
    asset.set_host_name("h");
    ASSERT_THAT(nested.Create(By("alice"), asset), IsOk());
    clock_->Advance(std::chrono::seconds(1));
  }
  const auto count = [&nested](std::string_view parent, std::string_view order) {
    auto query = Query("", order);
    query.parent = parent;
    return nested.List(query)->items.size();
  };
  EXPECT_EQ(count("tenants/acme/sites/osaka", ""), 2u);
  EXPECT_EQ(count("tenants/acme/sites/osaka", "create_time desc"), 2u);
  EXPECT_EQ(count("tenants/acme/sites/kobe", ""), 0u);
  EXPECT_EQ(count("tenants/acme", ""), 4u);
}

// Random filters, orders and page sizes give what sorting and filtering by hand gives.
TEST_F(ListTest, RandomListsAgreeWithAPlainModel) {
  std::mt19937 random(20261122);
  std::vector<Asset> model;
  for (int i = 0; i < 200; ++i) {
    auto asset = MakeAsset("acme", fmt::format("a{:03}", random() % 100000 + i),
                           fmt::format("h{}", random() % 7));
    asset.set_criticality(static_cast<Criticality>(random() % 5));
    auto created = assets_.Create(By("alice"), asset);
    if (created.ok()) model.push_back(*created);
    if (random() % 3 == 0) clock_->Advance(std::chrono::milliseconds(random() % 5000));
  }
  for (int round = 0; round < 100; ++round) {
    const int criticality = static_cast<int>(random() % 6);
    const bool by_host = random() % 2 == 0;
    const bool descending = random() % 2 == 0;
    std::string filter;
    if (criticality < 5) {
      filter =
          "criticality = " + directory::v1::Criticality_Name(static_cast<Criticality>(criticality));
    }
    std::vector<Asset> expected;
    for (const auto& asset : model) {
      if (criticality == 5 || asset.criticality() == criticality) expected.push_back(asset);
    }
    std::sort(expected.begin(), expected.end(), [&](const Asset& a, const Asset& b) {
      const auto key = [by_host](const Asset& x) {
        return by_host ? std::tuple(x.host_name(), int64_t{0}, 0, x.name())
                       : std::tuple(std::string(), x.create_time().seconds(),
                                    x.create_time().nanos(), x.name());
      };
      return descending ? key(b) < key(a) : key(a) < key(b);
    });
    std::vector<std::string> ids;
    for (const auto& asset : expected)
      ids.push_back(asset.name().substr(asset.name().rfind('/') + 1));
    const std::string order =
        std::string(by_host ? "host_name" : "create_time") + (descending ? " desc" : "");
    EXPECT_THAT(All(Query(filter, order, static_cast<int>(random() % 40) + 1)),
                ElementsAreArray(ids))
        << filter << " by " << order;
  }
}

}  // namespace
}  // namespace yagura::store
