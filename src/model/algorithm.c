/* Which algorithm does a pass: the one asked for, the measured one, or the guess for the device; see lower.h. */
#include "model/lower.h"

#include <stdio.h>
#include <string.h>

/* The name that text ("op=name,op=name") gives for an op; its length, 0 if none. */
static size_t asked_algorithm(const char *text, const char *op, const char **name)
{
    size_t length = strlen(op);
    for (const char *at = text; at && *at; at += strcspn(at, ","), at += *at == ',')
        if (strncmp(at, op, length) == 0 && at[length] == '=') {
            *name = at + length + 1;
            return strcspn(*name, ",");
        }
    return 0;
}

ink_status ink_check_algorithms(const char *text)
{
    for (const char *at = text; at && *at; at += strcspn(at, ","), at += *at == ',') {
        char op_name[32], name[32];
        if (sscanf(at, "%31[^=,]=%31[^,]", op_name, name) != 2)
            return ink_fail(INK_ERROR_ARGUMENT, "algorithms '%s': write op=name, with commas between, for example conv=direct", text);
        const struct ink_op *op = ink_op_find(op_name);
        if (!op)
            return ink_fail(INK_ERROR_ARGUMENT, "algorithms: no op is called '%s'", op_name);
        char known[256] = "";
        bool found = false;
        for (int pass = 0; pass < INK_PASSES; pass++)
            for (const struct ink_algorithm *a = op->passes[pass]; a && a->name; a++) {
                found |= strcmp(a->name, name) == 0;
                if (!strstr(known, a->name))
                    snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", *known ? ", " : "", a->name);
            }
        if (!found)
            return ink_fail(INK_ERROR_ARGUMENT, "algorithms: %s has no algorithm '%s'; it has %s", op_name, name, *known ? known : "none");
    }
    return INK_OK;
}

bool ink_algorithm_applies(const struct ink_algorithm *algorithm, const struct ink_call *call)
{
    return (!call->node->pool.height || algorithm->pools) && !(call->reproducible && algorithm->reorders) && (!algorithm->applies || algorithm->applies(call));
}

struct ink_choice ink_lower_choice(const struct ink_lowering *how, const struct ink_call *call)
{
    struct ink_choice measured = {0}, styled = {0}, any = {0};
    const char *asked = NULL;
    size_t length = asked_algorithm(how->algorithms, call->node->op->name, &asked);
    if (!length && how->choose && how->choose(call, how->choose_user, &measured))
        return measured;
    for (const struct ink_algorithm *a = call->node->op->passes[call->pass]; a && a->name; a++) {
        bool named = length && strlen(a->name) == length && strncmp(a->name, asked, length) == 0;
        if (named && call->node->pool.height && !a->pools)
            return (struct ink_choice){0};
        if (!ink_algorithm_applies(a, call))
            continue;
        if (named)
            return (struct ink_choice){a, 0};
        if (a->on_request)
            continue;
        if (!styled.algorithm && (a->style == INK_STYLE_AUTO || a->style == call->style))
            styled.algorithm = a;
        if (!any.algorithm)
            any.algorithm = a;
    }
    return styled.algorithm ? styled : any;
}
