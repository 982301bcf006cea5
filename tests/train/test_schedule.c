/* Learning rates against PyTorch's schedulers, and early stopping. The rates come from PyTorch 2.15 by
 *
 *   def rates(make, n, lr, metrics=None):
 *       o = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr); s = make(o); out = []
 *       for i in range(n):
 *           out.append(o.param_groups[0]["lr"]); o.step()
 *           s.step() if metrics is None else s.step(metrics[i])
 *       return out
 *
 * with the expression that stands beside each, L being torch.optim.lr_scheduler. */
#include <math.h>
#include <string.h>

#include "suite.h"
#include "train/schedule.h"
#include "train/train.h"

enum { MOST_RATES = 12 };

/* PyTorch goes from rate to rate where we take the closed form: a few roundings of a double for each of 12 steps. */
static const double tolerance = 1e-14;

static const struct {
    const char *what;
    struct ink_train_options options;
    uint64_t steps, epoch_steps;
    double metrics[MOST_RATES]; /* of each step, epochs of one step; all 0: none */
    double rates[MOST_RATES];
} schedules[] = {
    {"L.StepLR(o, 2, 0.3)",
     {.schedule = INK_SCHEDULE_STEP, .step_size = 2, .gamma = 0.3}, 7, 1, {0},
     {0.10000000000000001, 0.10000000000000001, 0.029999999999999999, 0.029999999999999999, 0.0089999999999999993, 0.0089999999999999993,
      0.0026999999999999997}},
    {"L.StepLR(o, 2, 0.3), with three steps in an epoch",
     {.schedule = INK_SCHEDULE_STEP, .step_size = 2, .gamma = 0.3}, 12, 3, {0}, {0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.03, 0.03, 0.03, 0.03, 0.03, 0.03}},
    {"L.CosineAnnealingLR(o, 12, 0.001)",
     {.schedule = INK_SCHEDULE_COSINE, .min_learning_rate = 0.001}, 12, 4, {0},
     {0.10000000000000001, 0.09831332840130888, 0.093368257487329728, 0.085501785668734107, 0.075250000000000011, 0.063311542732574791,
      0.05050000000000001, 0.037688457267425236, 0.025750000000000016, 0.015498214331265903, 0.0076317425126702851, 0.0026866715986911243}},
    {"L.OneCycleLR(o, 0.1, total_steps=12)",
     {.schedule = INK_SCHEDULE_ONE_CYCLE}, 12, 4, {0},
     {0.0040000000000000036, 0.034978965421958302, 0.087928515912212873, 0.099441543545091188, 0.093301296984141177, 0.081174565394976306,
      0.064737899769510332, 0.046263710266697504, 0.028306099820869922, 0.01334775301888306, 0.0034566987425395223, 3.9999999999999998e-07}},
    {"L.OneCycleLR(o, 0.1, total_steps=12, pct_start=0.25, div_factor=10, final_div_factor=100, anneal_strategy='linear')",
     {.schedule = INK_SCHEDULE_ONE_CYCLE, .pct_start = 0.25, .div_factor = 10, .final_div_factor = 100, .anneal = INK_ANNEAL_LINEAR}, 12, 4, {0},
     {0.01, 0.055000000000000007, 0.10000000000000001, 0.088900000000000007, 0.077800000000000008, 0.066700000000000009, 0.055600000000000004,
      0.044500000000000005, 0.033400000000000013, 0.0223, 0.011200000000000002, 0.00010000000000000286}},
    {"L.OneCycleLR(o, 0.1, total_steps=2)",
     {.schedule = INK_SCHEDULE_ONE_CYCLE}, 2, 1, {0}, {0.081174565394976306, 3.9999999999999998e-07}},
    {"L.SequentialLR(o, [L.LinearLR(o, 1/4, total_iters=3), L.CosineAnnealingLR(o, 9, 0.001)], [3])",
     {.schedule = INK_SCHEDULE_COSINE, .min_learning_rate = 0.001, .warmup = 3}, 12, 4, {0},
     {0.025000000000000001, 0.050000000000000003, 0.075000000000000011, 0.10000000000000001, 0.097014784728902473, 0.088419199934389403,
      0.075249999999999997, 0.059095584794513059, 0.041904415205486947, 0.025750000000000009, 0.012580800065610593, 0.0039852152710975388}},
    {"L.ReduceLROnPlateau(o, factor=0.5, patience=1, min_lr=0.02)",
     {.schedule = INK_SCHEDULE_PLATEAU, .gamma = 0.5, .plateau_epochs = 2, .min_learning_rate = 0.02}, 12, 1,
     {1.0, 0.8, 0.8, 0.79999, 0.9, 0.7, 0.71, 0.72, 0.73, 0.74, 0.75, 0.76},
     {0.10000000000000001, 0.10000000000000001, 0.10000000000000001, 0.10000000000000001, 0.050000000000000003, 0.050000000000000003,
      0.050000000000000003, 0.050000000000000003, 0.025000000000000001, 0.025000000000000001, 0.02, 0.02}},
    {"L.ReduceLROnPlateau(o, mode='max', factor=0.1, patience=0)",
     {.schedule = INK_SCHEDULE_PLATEAU, .plateau_epochs = 1, .monitor = INK_MONITOR_ACCURACY}, 8, 1,
     {0.5, 0.6, 0.6, 0.60001, 0.61, 0.6, 0.6, 0.6},
     {0.10000000000000001, 0.10000000000000001, 0.10000000000000001, 0.010000000000000002, 0.0010000000000000002, 0.0010000000000000002,
      0.00010000000000000003, 1.0000000000000004e-05}},
    {"constant, after L.LinearLR(o, 1/4, total_iters=3)", {.warmup = 3}, 5, 5, {0}, {0.025, 0.05, 0.075, 0.1, 0.1}},
};

START_TEST(rates_are_pytorchs)
{
    struct ink_train_options given = schedules[_i].options, options;
    struct ink_monitored monitored = {.scale = 1};
    given.learning_rate = 0.1;
    ck_ok(ink_train_defaults(&given, &options));
    for (uint64_t i = 0; i < schedules[_i].steps; i++) {
        double rate = ink_schedule_rate(&options, &monitored, i, schedules[_i].steps, 1 + (int)(i / schedules[_i].epoch_steps)), wanted = schedules[_i].rates[i];
        ck_assert_msg(fabs(rate - wanted) <= tolerance * fmax(1, wanted), "%s: step %d has %.17g, not %.17g", schedules[_i].what, (int)i, rate, wanted);
        if (schedules[_i].metrics[i] > 0)
            ck_assert(!ink_monitored_note(&monitored, &options, (int)i + 1, schedules[_i].metrics[i]));
    }
}
END_TEST

/* Every rate of every schedule is a number above or at 0 and none above the one asked for, however short the run. */
START_TEST(short_runs_have_rates)
{
    for (int schedule = INK_SCHEDULE_CONSTANT; schedule <= INK_SCHEDULE_PLATEAU; schedule++)
        for (uint64_t steps = 1; steps <= 40; steps++)
            for (int warmup = 0; warmup < 3 && (uint64_t)warmup < steps; warmup++) {
                struct ink_train_options options;
                struct ink_monitored monitored = {.scale = 1};
                ck_ok(ink_train_defaults(&(struct ink_train_options){.learning_rate = 0.5, .schedule = (ink_schedule)schedule, .warmup = warmup}, &options));
                for (uint64_t i = 0; i < steps; i++) {
                    double rate = ink_schedule_rate(&options, &monitored, i, steps, 1 + (int)i);
                    ck_assert_msg(rate >= 0 && rate <= 0.5 * (1 + tolerance), "schedule %d, step %d of %d: %g", schedule, (int)i, (int)steps, rate);
                }
            }
}
END_TEST

START_TEST(patience_ends)
{
    static const double losses[] = {1, 0.9, 0.95, 0.89999, 0.7, 0.8, 0.7, 0.71};
    struct ink_train_options options;
    struct ink_monitored monitored = {.scale = 1};
    ck_ok(ink_train_defaults(&(struct ink_train_options){.patience = 3}, &options));
    for (int i = 0; i < 8; i++) /* 0.89999 is no better than 0.9 by a ten thousandth */
        ck_assert_int_eq(ink_monitored_note(&monitored, &options, i + 1, losses[i]), i == 7);
    ck_assert_int_eq(monitored.best_epoch, 5);
    ck_assert_double_eq(monitored.best, 0.7);
    options.patience = 0;
    ck_assert(!ink_monitored_note(&monitored, &options, 9, 1));
}
END_TEST

START_TEST(wrong_schedules_are_told)
{
    static const struct { struct ink_train_options options; const char *what; } wrong[] = {
        {{.schedule = (ink_schedule)9}, "schedule is 9; it must be at least 0 and at most 4"},
        {{.warmup = -1}, "warmup is -1; it must be at least 0"},
        {{.schedule = INK_SCHEDULE_STEP, .step_size = -1}, "step_size is -1; it must be at least 1"},
        {{.schedule = INK_SCHEDULE_STEP, .gamma = 1}, "gamma is 1; it must be at least 0 and below 1"},
        {{.schedule = INK_SCHEDULE_PLATEAU, .plateau_epochs = -2}, "plateau_epochs is -2"},
        {{.schedule = INK_SCHEDULE_COSINE, .learning_rate = 0.1, .min_learning_rate = 0.2}, "min_learning_rate is 0.2; it must be at least 0 and at most 0.1"},
        {{.schedule = INK_SCHEDULE_ONE_CYCLE, .pct_start = 1}, "pct_start is 1"},
        {{.schedule = INK_SCHEDULE_ONE_CYCLE, .div_factor = 0.5}, "div_factor is 0.5; it must be at least 1"},
        {{.schedule = INK_SCHEDULE_ONE_CYCLE, .final_div_factor = -1}, "final_div_factor is -1"},
        {{.schedule = INK_SCHEDULE_ONE_CYCLE, .anneal = (ink_anneal)2}, "anneal is 2"},
        {{.clip_norm = -1}, "clip_norm is -1; it must be at least 0"},
        {{.clip_norm = NAN}, "clip_norm is nan"},
        {{.ema = 1}, "ema is 1; it must be at least 0 and below 1"},
        {{.patience = -1}, "patience is -1"},
        {{.monitor = (ink_monitor)5}, "monitor is 5"},
        {{.gamma = 0.5}, "gamma is of the schedules step and plateau; choose one of them, or leave it out"},
        {{.schedule = INK_SCHEDULE_COSINE, .pct_start = 0.2}, "pct_start is of the schedules one-cycle"},
        {{.schedule = INK_SCHEDULE_ONE_CYCLE, .step_size = 2}, "step_size is of the schedules step"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct ink_train_options options;
        ck_fails(ink_train_defaults(&wrong[i].options, &options), INK_ERROR_ARGUMENT, wrong[i].what);
    }
    ck_fails(ink_train_check_warmup(&(struct ink_train_options){.warmup = 10}, 10), INK_ERROR_ARGUMENT, "warmup is 10, and the run has 10 steps");
    ck_ok(ink_train_check_warmup(&(struct ink_train_options){.warmup = 9}, 10));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("schedule");
    TCase *all = tcase_create("schedule");
    tcase_add_loop_test(all, rates_are_pytorchs, 0, (int)(sizeof schedules / sizeof *schedules));
    tcase_add_test(all, short_runs_have_rates);
    tcase_add_test(all, patience_ends);
    tcase_add_test(all, wrong_schedules_are_told);
    return run_case(suite, all);
}
